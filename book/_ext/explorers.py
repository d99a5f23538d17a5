"""Explorers: figures that come alive in the page, where scripts run, and stay pictures where they do not.

The directive ``{explorer} name`` makes a figure of the explorer's picture, with its content as the caption; the scripts
of `_static/explorers` put the explorer in the picture's place. Only a page that has one loads them. In a bare notebook
the directive is a block of code whose text is the caption.
"""

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.util.docutils import SphinxDirective

FOLDER = "explorers"
ALT = {  # what the pictures of tools/explorer_pictures.py show
    "latent": (
        "Left, the encoded test images as points in the latent plane, each of the ten classes in its own color around "
        "its name, and a larger point among the sevens. Right, the decoder's image at that point: a seven."
    ),
    "draw": (
        "Left, a handwritten four in black and white, and under it the reconstruction, which is a nine. Right, the "
        "latent plane with the encoded test images, a small ellipse between fours and nines, and the terms of the ELBO."
    ),
    "elbo": (
        "Above, a gray posterior with two peaks and a blue bell curve over the larger one. Below, two bars of equal "
        "length: log p(x) with the KL divergence at its end, and the ELBO."
    ),
    "reparameterization": (
        "Two panels of forty lines that lead from noise above to draws below, one for the same noise, one for fresh "
        "noise; under them the mean and the standard deviation of two estimates of a gradient."
    ),
    "smallest": (
        "Above, a gray cloud that leans to the right, and over it, in blue, the decoder's means on a line along the "
        "cloud with circles of its noise. Below, the loss falls from 3.4 to the lower of two marks, the floor, and "
        "passes the upper one, collapse. Beside it the gray prior of z, the density of all codes, which covers it, and "
        "five narrow densities of single examples."
    ),
    "game": (
        "Above, a wide gray heap p and a narrower blue one, q, and vermilion hills where a discriminator wastes loss. "
        "Below, its straight blue logit, and the exact log-ratio, a dashed parabola that is zero at two places."
    ),
    "bits_back": (
        "Above, three bars: popping z makes the stack shorter, pushing x and pushing z make it longer again, to a dashed "
        "line at minus the ELBO or near it. Below, bits an image over 300 images: one curve settles at minus the ELBO, "
        "just above the entropy, another one seven tenths of a bit higher."
    ),
    "noise": (
        "Above, two gray peaks, one blue hump that noise has made of them, and two vermilion peaks from which a point "
        "between them may come; the best guess lies in the gap between these. Below, paths of the flow, which lead from "
        "noise into the peaks, and the path of the point, which ends in the right one."
    ),
}
WITHOUT_SCRIPTS = (
    '<noscript><p class="explorer-noscript">Here stands a picture: the explorer needs JavaScript.</p></noscript>'
)


class Explorer(SphinxDirective):
    """``{explorer} latent``: the picture of the explorer as a figure, its content as the caption."""

    required_arguments = 1
    has_content = True
    option_spec = {"name": directives.unchanged}

    def run(self):
        self.assert_has_content()
        name = directives.choice(self.arguments[0], tuple(ALT))
        image = nodes.image(uri=f"/book/_static/{FOLDER}/{name}.png", alt=ALT[name])
        caption = nodes.caption("", "", *self.state.inline_text(" ".join(self.content), self.lineno)[0])
        figure = nodes.figure("", image, caption, align="center")
        self.set_source_info(figure)
        if "name" in self.options:
            self.add_name(figure)
        return [
            nodes.container(
                "", figure, nodes.raw("", WITHOUT_SCRIPTS, format="html"), classes=["explorer", f"explorer-{name}"]
            )
        ]


def add_scripts(app, pagename, templatename, context, doctree) -> None:
    """What is added here, is added to this page alone."""
    containers = doctree.findall(nodes.container) if doctree else ()
    found = {name for node in containers for name in ALT if f"explorer-{name}" in node["classes"]}
    if found:
        app.add_css_file(f"{FOLDER}/explorers.css")
        for script in ("network", "panel", *sorted(found)):
            app.add_js_file(f"{FOLDER}/{script}.js", loading_method="defer")


def setup(app):
    app.add_directive("explorer", Explorer)
    app.connect("html-page-context", add_scripts)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
