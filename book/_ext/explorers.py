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
    "numbers": (
        "Left, a three drawn by hand. In the middle twenty bars, up and down from zero: the numbers that an encoder "
        "gives it. Right, what a decoder makes of these numbers: a three again, slightly blurred."
    ),
    "draw": (
        "Left, a handwritten four. Right, the latent plane with the encoded test images and a small ellipse between "
        "fours and nines. Below, what comes back: from two numbers a nine, from twenty a four, and both ELBOs."
    ),
    "training": (
        "Above, two falling lines over the number of decoder passes: with more draws it flattens to a dashed floor, "
        "with more examples it falls on, and each has a dot at its end. Below, two bars: of the variance one half is "
        "left with sixteen draws, and next to nothing with sixteen times the examples."
    ),
    "convolutions": (
        "Above, rows of three dots, each row two pixels further than the one above it. Below, bars for what each of "
        "sixteen pixels gets, two heights in turn around a dashed line at 1. Beside them an image: a checkerboard."
    ),
    "elbo": (
        "Above, a gray posterior with two peaks and a blue bell curve over the larger one. Below, two bars of equal "
        "length: log p(x) with the KL divergence at its end, and the ELBO."
    ),
    "eigenvalues": (
        "Above, eight bars of falling height, and a dashed level across them; of six bars the part above the level is "
        "blue, with a number of nats above it. Below, the ELBO rises steeply with the noise variance to a peak, falls "
        "more gently, and has a dot on it."
    ),
    "prior": (
        "Above, five narrow curves in two groups on a line, their average in green with two peaks, and a gray prior "
        "with two peaks that covers it but for its details. Below, two bars of the rate, each with the same blue "
        "part, the information, and a red part, the KL from the prior, which is much shorter in the lower bar."
    ),
    "reparameterization": (
        "Two plots of a gradient over μ with a straight line, the exact one. Left, with the same noise at every μ, "
        "two smooth curves stay near it; right, with fresh noise, both jitter around it, the score function's far "
        "more."
    ),
    "curve": (
        "Left, a gray density along a parabola, circles along it, one of them filled, and a point inside the "
        "parabola; under it a gray posterior with two peaks, and a stick for each circle. Right, K = 9, a noise of "
        "0.3, and log p(x) of nine Gaussians beside the exact one."
    ),
    "divergences": (
        "Above, a gray density with two peaks and a green bell curve that covers both. Below, two curves: what each "
        "divergence charges at each x, the blue one most on the left peak, the vermilion one most in the valley."
    ),
    "likelihoods": (
        "Above, over the gray values from 0 to 1, two falling curves, a vermilion one with its area filled and a "
        "green one above it. Below, two bars: the area under the vermilion curve, less than one half, and that under "
        "the green one, which is 1."
    ),
    "tradeoff": (
        "Above, a convex curve of distortion against rate, a line R + D = H that touches it, a dashed tangent at a "
        "dot, and a step from it to the place of half the β. Below, six bars and a dashed water level; of the two "
        "highest bars the part above the level is blue, with a number of nats, and two others are called dead."
    ),
    "smallest": (
        "Above, a gray cloud that leans to the right, and over it, in blue, the decoder's means on a line along the "
        "cloud with circles of its noise. Below, the loss falls from 3.4 to the lower of two marks, the floor, and "
        "passes the upper one, collapse. Beside it the gray prior of z, the density of all codes, which covers it, "
        "and five narrow densities of single examples."
    ),
    "gaps": (
        "Above, a gray ellipse that leans to the right, the posterior; a blue circle inside it, the best q; a "
        "vermilion circle beside it, the encoder's. Below, a bar in two parts: the nats that the family lost, and "
        "those that the network lost."
    ),
    "conditions": (
        "Above, a gray ellipse that leans to the right; a green bar at the seen entry, where the missing one may lie, "
        "and a dot in its middle, the best guess. Below, a gray hill, the posterior of z given what was seen, and "
        "over its middle a blue one that is far too narrow."
    ),
    "filter": (
        "Above, eight dots over time, a gray band through them all and a blue bar at each, a little longer than the "
        "band is wide. Below, two curves over the noise of the camera that cross: what a q loses that does not know "
        "the future, and one that ignores the chain."
    ),
    "kl": (
        "Left, closed lines of equal divergence around the prior over the mean and the log-variance, wide below it "
        "and close together above; a point far below, from which one arrow leads left and a short one up. Right, the "
        "two parts of the divergence with their pulls, and a narrow blue bell beside the gray one of the prior."
    ),
    "weights": (
        "Three drawings below each other: a blue bell beside a gray posterior; draws with bars of very unequal "
        "weights; and the part of the gap that is left, which falls more slowly with the number of draws than the "
        "dashed 1/K."
    ),
    "annealing": (
        "Above, a wide gray prior, a gray posterior with two peaks, and a blue density over it. Below, log Z falls "
        "steeply at first and then flattens; the mean log-weight of eight even steps lies well below it, and most of "
        "twenty chains around that."
    ),
    "game": (
        "Above, a wide gray heap p and a narrower blue one, q, and vermilion hills where a discriminator wastes loss. "
        "Below, its straight blue logit, and the exact log-ratio, a dashed parabola that is zero at two places."
    ),
    "bits_back": (
        "Above, three bars: popping z makes the stack shorter, pushing x and pushing z make it longer again, to a "
        "dashed line at minus the ELBO or near it. Below, bits an image over 300 images: one curve settles at minus "
        "the ELBO, just above the entropy, another one seven tenths of a bit higher."
    ),
    "noise": (
        "Above, two gray peaks, one blue hump that noise has made of them, and two vermilion peaks from which a point "
        "between them may come; the best guess lies in the gap between these. Below, paths of the flow, which lead "
        "from noise into the peaks, and the path of the point, which ends in the right one."
    ),
    "flow": (
        "Above, a steep blue curve that sends the noise below it to z at its left, and threads from equal shares of "
        "the noise, which part at the steepest place; at the right the bent density over a gray posterior with two "
        "peaks. Below, the logarithm of the slope beside that of the exact map, with a hill in the middle."
    ),
    "layers": (
        "Above, a gray ellipse that leans to the left, and a smaller green one inside it that leans less. Below, "
        "three falling curves of loss against the turn, vermilion, blue and green; the green one alone reaches zero, "
        "at the right."
    ),
    "codes": (
        "Five groups of points in the plane, cut into cells, one for each code with its number. Code 5 lies far away "
        "in a cell without a point, crossed out, and code 2 stands between two groups. Beside it the distortion, the "
        "best known one, and the bits used."
    ),
    "against": (
        "Above, a row for each of five seeds with a dot for the difference of two models: two dots lie a little to the "
        "right of zero, three far to the left, and a wide bar of five standard errors crosses zero. Below, five bars: "
        "the pairs of models in which all seeds so far agree fall from 378 to 250."
    ),
    "hours": (
        "Above, four curves rise over the logarithm of the time: two end early, one rises fast and flattens, one "
        "starts late and passes it. Below, what the last doubling of the time has bought: less and less."
    ),
    "table": (
        "Two falling lines over the number of test images, what chance may do: a gray one for other images, and below "
        "it a blue one for another binarization. A level, the difference of two numbers, crosses the blue line at a "
        "thousand images and the gray one beyond the end of the test set."
    ),
    "rotation": (
        "Above left, a gray ellipse of p(x) and two lines for what each latent does, turned against two dashed knobs; "
        "above right, the posterior's leaning ellipse behind q's upright one. Below, against the angle: the gap of "
        "the bound, lowest near 38 degrees, and the information gap, which is nearly lowest there."
    ),
    "keys": (
        "Above, 64 draws of a gradient in one horizontal line, well off the dashed exact value. Below, the standard "
        "error against the number of draws: the exact one stays at 1, with circles on it, and the one that the draws "
        "claim lies at 0. A table shows the same two words and the same noise in each round."
    ),
    "ranks": (
        "Above, eleven small dots, the gradients of examples of rank 0, most of them right of zero, and below a cut "
        "one large dot of rank 1, far to the left. Below, a narrow gray hill right of zero, the gradient of one "
        "process, and a wider vermilion one left of zero, that of the two ranks."
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
