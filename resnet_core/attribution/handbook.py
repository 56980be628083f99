"""docs/attribution.md, written from the table: `python -m resnet_core.attribution.handbook > docs/attribution.md`."""

import sys
from collections.abc import Iterator

from resnet_core.attribution import many, quality, sanity
from resnet_core.attribution.computing import cost_of
from resnet_core.attribution.methods import METHODS, Method
from resnet_core.attribution.ranking import TOP
from resnet_core.attribution.settings import Baselined, Referenced, Regioned, Smoothing
from resnet_core.attribution.support import NEED_HELP
from resnet_core.attribution.traits import Traits
from resnet_core.config import Config
from resnet_core.data.spec import DataSpec

SHARED: tuple[tuple[str, type[Config]], ...] = (
    ("Every method", Smoothing),
    ("Methods with a baseline", Baselined),
    ("Methods with references", Referenced),
    ("Methods with regions", Regioned),
)
# What costs are told for: ResNet-20 on 28x28 pixels, nine blocks in three stages.
EXAMPLE = DataSpec(name="example", channels=1, height=28, width=28, classes=("0", "1"), mean=(0.5,), std=(0.5,))
RESNET20 = Traits(
    blocks=tuple(f"stages.{n // 3}.{n % 3}" for n in range(9)), stages=("stages.0", "stages.1", "stages.2"), relus=19, reused=(),
    activations=(), unruled=(),
)  # fmt: skip
HEAD = """# Attributions

What speaks for a class in an image, and whether a map is worth anything. This page is written from the table in
`resnet_core/attribution/methods.py`; a test compares the two.

    python -m resnet_core attribute resnet20-mnist --method integrated_gradients --index 3 --score --check --to map.png

- A map is about the network's **normalised** input and the class's **logit**, in eval mode. Green speaks for the class, violet against it.
- **Baselines** and noise are defined on pixels from 0 to 1, and normalised afterwards.
- The network is copied before it is asked (weights are shared), so it is left as found whatever happens.
- The same request gives the same map: what a method draws comes from its seed, image by image.
- Passes are grouped so that activations fit into 512 MB.
- A **pass** is one image going through the network once. Costs are for ResNet-20 on 28x28 pixels with default settings.
"""


def handbook() -> str:
    return "\n".join([HEAD, *_shared(), *(line for method in METHODS.values() for line in _method(method)), *_worth()])


def _shared() -> Iterator[str]:
    yield "## Settings that methods share\n"
    known: set[str] = set()
    for title, settings in SHARED:
        yield f"{title}:\n"
        yield from _table(settings, known)
        known |= set(settings.settings())


def _method(method: Method) -> Iterator[str]:
    settings = method.settings()
    cost = cost_of(method, settings, EXAMPLE, RESNET20)
    yield f"## {method.title}\n\n`{method.name}`. {method.meaning} ({method.source})\n"
    yield f"- Cost: {cost.forward:,} passes forward, {cost.backward:,} backward."
    if method.needs:
        yield f"- Needs {'; '.join(NEED_HELP[need] for need in method.needs)}."
    sums = {"baseline": "f(image) - f(baseline)", "references": "f(image) minus the mean of f over the references", None: None}[
        method.complete
    ]
    yield f"- Adds up to {sums}." if sums else "- Promises no sum."
    if method.places:
        yield "- Speaks of places: one channel, whatever the image has."
    shared = {name for _, kind in SHARED if issubclass(method.settings, kind) for name in kind.settings()}
    defaults = {name: getattr(kind(), name) for _, kind in SHARED if issubclass(method.settings, kind) for name in kind.settings()}
    same = {name for name in shared if getattr(settings, name) == defaults[name]}
    yield ""
    yield from _table(method.settings, same)


def _table(settings: type[Config], leave_out: set[str]) -> Iterator[str]:
    rows = [(name, rule) for name, rule in settings.settings().items() if name not in leave_out]
    if not rows:
        return
    yield "| setting | default | may be | |\n|---|---|---|---|"
    for name, rule in rows:
        default = getattr(settings(), name)
        if rule.choices is not None:
            allowed = ", ".join(rule.choices)
        elif isinstance(default, bool):
            allowed = "true, false"
        else:
            allowed = rule.range if rule.minimum is not None or rule.maximum is not None else "text"
        yield f"| `{name}` | {str(default).lower() if isinstance(default, bool) else default} | {allowed} | {rule.help}{f' ({rule.unit})' if rule.unit else ''} |"
    yield ""


def _worth() -> Iterator[str]:
    yield """## Is the map worth anything?

`--score` measures, for one image and class:

- **Completeness error**: how far the map's sum is from what it promises, as a share of that.
- **Infidelity** (Yeh et al. 2019, arXiv:1901.09392), Captum's with `normalize=True`: random squares are removed, and the map should foretell by
  how much the score falls. `unexplained` is that as a share of how much the score moved at all: 0 foretells everything, 1 nothing.
- **Maximal sensitivity** (the same paper): how much the map changes when the image changes by next to nothing, as a share of its size.
- **Deletion and insertion** (Petsiuk et al. 2018, arXiv:1806.07421): areas under the class's probability while the strongest pixels go, and
  while they come back into the blurred image; beside the same for a Laplacian edge detector and for random orders.
"""
    yield from _table(quality.QualitySettings, set())
    yield f"The gap between insertion and deletion decides; less than {quality.MARGIN:g} apart counts as equal:\n"
    yield from _verdicts(quality.VERDICTS)
    yield f"""## The randomisation check

`--check` (Adebayo et al. 2018, arXiv:1810.03292) draws weights anew from the head down to the stem, settles BatchNorm on images, and compares the
maps by rank correlation, signed and of their sizes. From {sanity.SAME:g} on a map counts as the same, up to {sanity.OTHER:g} as another one:
"""
    yield from _verdicts(sanity.VERDICTS)
    yield f"""## Do two networks look at different places?

`attribute-many C --against B --second A2` asks two networks about the same images, and compares the likeness of their maps (rank correlation,
overlap of the strongest {TOP:.0%} of pixels) with that of two trainings of the first, image by image, with bootstrap intervals:
"""
    yield from _verdicts(many.VERDICTS)


def _verdicts(verdicts: dict[str, str]) -> Iterator[str]:
    yield from (f"- `{code}`: {sentence}" for code, sentence in verdicts.items())
    yield ""


if __name__ == "__main__":
    sys.stdout.write(handbook())
