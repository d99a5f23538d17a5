"""The pages as the theme writes them, made good: ``accessible`` to all readers, ``numbers`` set, and ``light``."""


def setup(app):
    for part in ("accessible", "numbers", "light"):
        app.setup_extension(f"theme_fixes.{part}")
    return {"parallel_read_safe": True, "parallel_write_safe": True}
