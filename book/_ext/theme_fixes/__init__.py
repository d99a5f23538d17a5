"""The pages as the theme writes them, made good: ``accessible`` to all readers, ``numbers`` set, what cells print in
columns as ``printed_tables``, the ``panels`` of figures one below the other on a phone, and ``light``."""


def setup(app):
    for part in ("accessible", "numbers", "printed_tables", "panels", "light"):
        app.setup_extension(f"theme_fixes.{part}")
    return {"parallel_read_safe": True, "parallel_write_safe": True}
