"""The sentences of problems, as pages show them."""

from markupsafe import Markup, escape


def prose(text: str) -> Markup:
    """A text in which `` `code` `` is set as code. As everywhere, what it says is escaped."""
    parts = [escape(part) for part in text.split("`")]
    return Markup().join(Markup("<code>{}</code>").format(part) if at % 2 else part for at, part in enumerate(parts))
