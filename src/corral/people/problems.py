"""What can be told to an administrator about people."""

from corral.errors import Problem


class PersonNotFound(Problem):
    """There is nobody with this id."""

    status, code, title = 404, "person_not_found", "Person not found"


class InvitationNotFound(Problem):
    """There is no open invitation with this id; it may have been used, replaced or revoked."""

    status, code, title = 404, "invitation_not_found", "Invitation not found"


class AdministratorProtected(Problem):
    """This is an administrator. Only the operator can change that, at the command line: `corral users`."""

    status, code, title = 409, "administrator_protected", "An administrator cannot be changed here"
