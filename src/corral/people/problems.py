"""Problems of managing members."""

from corral.errors import Problem


class PersonNotFound(Problem):
    """Member not found."""

    status, code, title = 404, "person_not_found", "Member not found"


class InvitationNotFound(Problem):
    """Invitation not found. It may have been used, replaced or revoked."""

    status, code, title = 404, "invitation_not_found", "Invitation not found"


class AdministratorProtected(Problem):
    """Only the server's operator can change administrators, with `corral users`."""

    status, code, title = 409, "administrator_protected", "Administrator protected"
