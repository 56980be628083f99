"""What speaks for a class in an image, by Captum's methods, and whether a map is worth anything.

`METHODS` is the one table: name -> `Method(name, title, settings, needs, cost, meaning, source, complete, places, slopes, random)`.
`settings` is a frozen Config class, whose fields have default, range and help; `meaning` and `source` are sentences for people;
`cost_of(method, settings, spec, traits)` gives the passes of one image. `traits_of(model, spec)` looks at a network once, and
`offered(traits, name)` says of every method None or the UserError with the reason why it is not sound there.

`attribute(model, images, spec, method, settings=None, *, target=None, seed=0, references=None, progress=None)` answers with one
`Attribution` per image: `map` (C, H, W) about the normalised input (one channel from methods with `places`), `target`, `probability`,
`total`, `completeness_delta`, `completeness_error`, `steps`, and `strip`, a `LayerMap(name, map, total)` for every stage or block.
Images are uint8 (N, C, H, W), tensor or array. The network is left as found; `progress(passes, of about)` may raise to stop.

`assess(model, images, spec, attributions, ...)` gives a `Quality` for each: infidelity, sensitivity, deletion and insertion beside edges and
random pixels, a verdict. `check_randomised(..., settle_on=images)` is the check with random weights. `over_images(...)` makes a `Cohort`,
`influence(a, b, second)` says whether two networks look at different places. Verdicts are codes of QUALITY_VERDICTS, SANITY_VERDICTS and
INFLUENCE_VERDICTS, which hold an English sentence for each.
"""

from resnet_core.attribution.computing import Attribution, LayerMap, attribute, cost_of, settings_of
from resnet_core.attribution.many import FIGURES, Agreement, Cohort, ImageRow, Influence, figure_gaps, influence, over_images, to_csv
from resnet_core.attribution.many import VERDICTS as INFLUENCE_VERDICTS
from resnet_core.attribution.methods import METHODS, Method, Passes, get_method
from resnet_core.attribution.quality import VERDICTS as QUALITY_VERDICTS
from resnet_core.attribution.quality import Curves, Quality, QualitySettings, assess, quality_cost
from resnet_core.attribution.ranking import overlap, spearman
from resnet_core.attribution.sanity import VERDICTS as SANITY_VERDICTS
from resnet_core.attribution.sanity import SanityCheck, SanityStep, check_randomised, parts_of, sanity_cost
from resnet_core.attribution.settings import BASELINES, Smoothing
from resnet_core.attribution.support import NEED_HELP, offered, why_not
from resnet_core.attribution.traits import Traits, traits_of

__all__ = [
    "BASELINES", "FIGURES", "INFLUENCE_VERDICTS", "METHODS", "NEED_HELP", "QUALITY_VERDICTS", "SANITY_VERDICTS", "Agreement", "Attribution",
    "Cohort", "Curves", "ImageRow", "Influence", "LayerMap", "Method", "Passes", "Quality", "QualitySettings", "SanityCheck", "SanityStep",
    "Smoothing", "Traits", "assess", "attribute", "check_randomised", "cost_of", "figure_gaps", "get_method", "influence", "offered",
    "over_images", "overlap", "parts_of", "quality_cost", "sanity_cost", "settings_of", "spearman", "to_csv", "traits_of", "why_not",
]  # fmt: skip
