"""`describe MODEL`: the network as a table."""

from dataclasses import replace

import typer

from resnet_core.commands.output import JSON_OPTION, parse_settings, say, write_json, write_table


def describe(
    model: str,
    dataset: str | None = typer.Option(None, help="adapt the network to these data; without it, the original (ImageNet; 6n+2: CIFAR-10)"),
    option: str = typer.Option("auto", help="shortcut option: A, B, C"),
    settings: list[str] = typer.Option(
        [], "--set", metavar="KEY=VALUE", help="any setting of the network, such as version=v2 or width=0.5"
    ),
    as_json: bool = JSON_OPTION,
) -> None:
    """Layers with output shapes, parameters and multiply-accumulates (MACs) for one image; no weight is allocated."""
    from resnet_core.config import RunConfig
    from resnet_core.data import load_spec
    from resnet_core.models import describe as describe_model
    from resnet_core.models import original_spec

    config = RunConfig.from_flat({"model": model, "option": option, **parse_settings(settings)})
    spec = load_spec(replace(config.data, dataset=dataset)) if dataset else original_spec(model)
    described = describe_model(config.model, spec)
    if as_json:
        write_json(
            {
                **{key: getattr(described, key) for key in ("model", "parameters", "flops", "macs", "layers")},
                "input": (spec.channels, spec.height, spec.width),
                "classes": len(spec.classes),
            }
        )
        return
    write_table(
        ("layer", "kind", "output", "parameters", "MACs"),
        [(r.name, r.kind, r.output_shape, r.parameters, r.macs) for r in described.layers],
    )
    say(
        f"{model} on {spec.channels} x {spec.height} x {spec.width}, {len(spec.classes)} classes: {described.parameters:,} parameters, {described.macs:,} MACs, {described.flops:,} FLOPs"
    )
