"""What pyproject.toml says of the package. The file is asked, since what is installed may be older."""

from pathlib import Path

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10; pytest brings this one
    import tomli as tomllib

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
# What the package and all chapters need.
NEEDED = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["chapters"]]
# What the chapters on JAX, on compression and on your own data need beside it.
JAX, CODING, EXPORT = (PROJECT["optional-dependencies"][extra] for extra in ("jax", "coding", "export"))
