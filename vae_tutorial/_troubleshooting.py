"""Which entry of the book's page Troubleshooting a message is about; the sentence that names it stands here alone."""

ENTRIES = {
    "nan": "The loss is NaN, or explodes",
    "negative": "The loss is negative",
    "falls": "The loss falls without end",
    "stuck": "The loss is stuck",
    "kl-negative": "My KL estimate is negative",
    "weights": "Mean or sum? Which KL weight?",
    "gray": "BCE or MSE? My pixels are gray",
    "log-var": "Why log-variance, and may it have an activation?",
    "mean-or-sample": "Mean or sample at test time?",
    "save": "Save and load, pickle",
    "own-data": "Own data: columns, colour images, features of very different size",
    "batch-norm": "Batch norm in a VAE",
}
"""The title of each section that a message names, word for word."""


def see(key: str) -> str:
    """The sentence that ends a message.

    Example:
        >>> see("nan")
        "See “The loss is NaN, or explodes” in the book's Troubleshooting."
    """
    return f"See “{ENTRIES[key]}” in the book's Troubleshooting."
