"""Problems of the audit trail."""

from corral.errors import Problem


class AuditUnavailable(Problem):
    """The audit trail can't be written at the moment, so nothing was sent. Try again shortly."""

    status, code, title = 503, "audit_unavailable", "Audit trail unavailable"
