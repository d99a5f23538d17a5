"""What a published book has beside its text, one idea a module.

address   where the book is published, if anything says so
citation  how it is cited
head      what search engines, previews of links and reference managers read of a page
files     the entrance, the page for lost readers, the site map
hosted    notebooks on Colab and Binder
"""


def setup(app):
    for part in ("citation", "head", "files", "hosted"):
        app.setup_extension(f"publishing.{part}")
    return {"parallel_read_safe": True, "parallel_write_safe": True}
