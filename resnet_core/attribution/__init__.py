"""What speaks for a class in an image, by Captum's methods, and whether a map is worth anything.

`METHODS` is the one table: name -> `Method(name, title, settings, needs, cost, meaning, source, complete, places, random)`. `settings`
is a frozen Config class, whose fields have default, range and help; `meaning` and `source` are sentences for people; `cost_of(method,
settings, spec, traits)` gives the passes of one image. `traits_of(model, spec)` looks at a network once, and `offered(traits, name)` says
of every method None or the UserError with the reason why it is not sound there.

`attribute(model, images, spec, method, settings=None, *, target=None, seed=0, references=None, progress=None)` answers with one
`Attribution` per image: `map` (C, H, W) about the normalised input (one channel from methods with `places`), `target`, `probability`,
`total`, `completeness_delta`, `completeness_error`, `steps`, and `strip`, a `LayerMap(name, map, total)` for every stage or block.
Images are uint8 (N, C, H, W), tensor or array. The network is left as found; `progress` may raise to stop.
"""

from resnet_core.attribution.computing import Attribution, LayerMap, attribute, cost_of, settings_of
from resnet_core.attribution.methods import METHODS, Method, Passes, get_method
from resnet_core.attribution.settings import BASELINES, Smoothing
from resnet_core.attribution.support import NEED_HELP, offered, why_not
from resnet_core.attribution.traits import Traits, traits_of

__all__ = [
    "BASELINES", "METHODS", "NEED_HELP", "Attribution", "LayerMap", "Method", "Passes", "Smoothing", "Traits",
    "attribute", "cost_of", "get_method", "offered", "settings_of", "traits_of", "why_not",
]  # fmt: skip
