"""What a person did that cannot work: one sentence with the value and the remedy, known by a code.

The code is the key under which another language keeps its own sentence; `MESSAGES` is the English one.
"""

from collections.abc import Iterable
from difflib import get_close_matches

MESSAGES: dict[str, str] = {
    "unknown_name": "Unknown {what} {value!r}; {hint}.",
    "not_a_choice": "{field} must be one of {choices}, got {value!r}.",
    "out_of_range": "{field} must be {range}, got {value!r}.",
    "wrong_type": "{field} must be {kind}, got {value!r}.",
    "unknown_setting": "Unknown setting {value!r}; {hint}.",
    "depth_not_6n_plus_2": "The depth of {name} must be 6n + 2 (8, 14, 20, 32, 44, 56, 110), got {value}.",
    "input_too_small": "{name} needs images of at least {smallest} x {smallest} px, got {value} px; choose a larger image_size or stem=small.",
    "not_a_multiple": "{name} cuts images into patches of {patch} px, and {height} x {width} px is no multiple of that; choose patch={fits} or image_size={near}.",
    "image_not_square": "{name} takes square images only, these have {height} x {width} px; set image_size.",
    "setting_not_for": "{name} has no setting {field}; leave it at {default}.",
    "package_missing": "This network needs the package {package}; install it with 'pip install {package}'.",
    "file_missing": "There is no file at {path}; check the path.",
    "checkpoint_damaged": "The checkpoint {path} is damaged ({reason}); use another copy or train again.",
    "checkpoint_foreign": "{path} is not a checkpoint of Residual Lens ({reason}); import-weights reads weights of other projects.",
    "checkpoint_missing": "No run, shipped checkpoint or file is named {value!r}; {hint}.",
    "checkpoint_channels": "{name} was trained on images with {have} channel(s), this needs {need}; choose a checkpoint for such images.",
    "checkpoint_classes": "{name} tells {have} classes apart, the data set {dataset} has {need}; choose a data set with the same classes.",
    "pair_channels": "{name} takes images with {have} channel(s), {other} with {need}; compare networks for the same images.",
    "pair_classes": "{name} tells {have} apart, {other} {need}; compare networks for the same classes.",
    "one_value_per_channel": "Training mode with {count} image leaves a BatchNorm one value per channel, which has no variance; take more images, or eval mode.",
    "too_few_for_cka": "CKA needs at least {need} images, got {count}; take more.",
    "checkpoint_no_weights": "Run {run} has no finished epoch yet, so there are no weights to open; wait for its first epoch.",
    "checkpoint_never_written": "Run {run} is {status} and never came to the end of an epoch, so it has no trained weights; resume it or train another.",
    "link_opens_no_files": "Links open no files of this machine, so {value!r} is not shown; import it on the page Runs, or with 'python -m resnet_core import-weights'.",
    "link_without_file": "The link starts from a file of weights that only one machine has, so the file is not in it; choose the weights again.",
    "data_missing": "The data set {name} is not in {path}; fetch it with 'python -m resnet_core data fetch {name}' or set RESNET_DATA.",
    "data_download_failed": "The data set {name} could not be downloaded ({reason}); check the network or put its files into {path}.",
    "data_damaged": "The data set {name} in {path} cannot be read ({reason}); delete the folder and fetch it again.",
    "folder_missing": "The image folder {path} does not exist; it needs train/CLASS/* and test/CLASS/*.",
    "folder_one_class": "The image folder {path} has {count} class(es); at least 2 are needed under train/.",
    "folder_classes_differ": "The test folder of {path} has the class {value!r}, which train/ lacks; give both the same classes.",
    "folder_empty_class": "The class folder {path} holds no images; add images or remove the folder.",
    "image_unreadable": "The image {path} cannot be read ({reason}); replace or remove it.",
    "image_too_large": "The image {path} has {width} x {height} pixels, the limit is {limit}; scale it down first.",
    "no_ink": "The image {path} shows no writing; draw or photograph a digit that stands out from its paper.",
    "no_sketches": "There are no sketches of your own yet; draw some on the Sketch page and keep them with their digit.",
    "test_only": "The data set {name} is for testing only; choose its test split, or train on another data set.",
    "strokes_unreadable": "The pen strokes in {path} cannot be read ({reason}); give a UNIPEN file of digits, plain or gzipped.",
    "strokes_only": "{field} is for pen strokes, not for the data set {dataset}; choose --dataset pen-strokes:PATH.",
    "no_such_writers": "{path} holds no digits of the writers {value}; it has the writers {first} to {last}.",
    "too_few_images": "{name} has {count} images in its {split} split, {need} are needed; use more images or another split.",
    "index_out_of_range": "There is no image {value} in the {split} split of {name}; it has images 0 to {last}.",
    "unknown_block": "{name} has no block {value!r}; its blocks are {choices}.",
    "blocks_do_not_fit": "{name} takes {takes} channels and cannot follow {before}, which gives {gives}; order blocks within their stage.",
    "not_a_block": "A block is named like stages.0.1 (stage and block, both from 0), got {value!r}.",
    "block_not_removable": "The block {value!r} cannot be left out: it changes the shape or is not there; these can be: {choices}.",
    "same_image": "A line needs two different images, got {value} twice; choose another second one.",
    "no_blocks": "{name} has no residual blocks; choose a ResNet or its plain twin.",
    "no_shortcuts": "{name} has no shortcuts, so every gradient takes the one path through all layers; choose a ResNet.",
    "image_shape": "The network takes images of {need} (channels, height, width), got {have}; choose images of that size.",
    "target_out_of_range": "There is no class {value}; {name} tells classes 0 to {last} apart.",
    "method_needs_relus": "{method} is made for networks whose only activation is ReLU, and {name} has {found}; choose another method.",
    "method_relu_reused": "{method} follows every ReLU once, and {name} runs {found} more than once; choose another method.",
    "method_layer_unruled": "{method} has no sound rule for {found}, which {name} contains; choose another method.",
    "method_needs_maps": "{method} needs layers whose output still has places, and {name} has none; choose another method.",
    "method_needs_blocks": "{method} needs residual blocks or their plain twins, and {name} has none; choose another method.",
    "maps_differ_in_size": "{name} takes images of {have} px, {other} of {need} px, so their maps cannot be laid over each other; choose networks for one size.",
    "no_winograd": "{field}={value} is for float32 in channels_last on a CPU, and not with compile; set precision and memory_format to auto and compile off, or leave {field} at auto.",
    "no_kernels": "{field}={value} is for channels_last on a CPU of a Linux machine with a C compiler (cc), and not with compile or several processes; set memory_format to auto and compile off, or leave {field} at auto.",
    "device_missing": "The device {value!r} is not available on this machine; choose {choices}.",
    "store_newer": "The run store {path} was written by a newer version (schema {found}, this one knows {known}); update Residual Lens.",
    "store_damaged": "The run store {path} cannot be read ({reason}); move it away and restart, runs keep their folders.",
    "store_locked": "The run store {path} is locked by another program ({reason}); close it and try again.",
    "run_missing": "There is no run {value!r}; {hint}.",
    "run_busy": "Run {run} is {status}; stop it first.",
    "run_not_finished": "Run {run} is {status}; only one that trained to its end can be shipped: let it go on to its end first.",
    "resume_keeps_settings": "Run {run} goes on with the settings it has; leave out {given}, or start a new run.",
    "bad_name": "The name {value!r} cannot be used; take up to 64 small letters, digits and dashes, such as resnet20-mnist.",
    "run_not_active": "Run {run} is {status}, so it cannot take the command {command!r}; only a running or paused one can.",
    "run_not_resumable": "Run {run} is {status} and cannot be resumed; start a new run.",
    "data_changed": "The images of {dataset} have changed since this training was saved ({before} to train on then, {now} now), so it cannot go on where it was; put them back as they were, or start a new run from its weights.",
    "images_elsewhere": "{name} was trained elsewhere, on {dataset}, whose images are not here; say on which ones: --dataset mnist, or image-folder:PATH.",
    "data_other": "The images of {dataset} are others than when this training was saved (as many as then, {now} to train on), so it cannot go on where it was; put them back as they were, or start a new run from its weights.",
    "answers_not_finite": "The answers of {name} are not finite numbers, so nothing can be counted; look for the first block whose values are not finite.",
    "checkpoint_says_itself": "{path} is a checkpoint of this project and says itself what it is; leave out {given}.",
    "resume_damaged": "Run {run} has no readable resume state ({reason}); start a new run from its last checkpoint.",
    "archive_refused": "{path} cannot be imported ({reason}); export the run again.",
    "loss_not_finite": "The loss became {value} at step {step} (learning rate {learning_rate:g}); lower the learning rate. The last good weights are kept.",
    "disk_full": "The disk is full at {path} ({reason}); free some space and resume, the last whole checkpoint is kept.",
    "not_writable": "Cannot write to {path} ({reason}); check its permissions.",
    "out_of_memory": "The device ran out of memory with batch size {batch_size}; try {suggestion}.",
    "degradation_unreadable": "The result {path} of the degradation experiment cannot be read ({reason}); delete it, and python -m resnet_core degradation --write writes it again.",
    "degradation_other_budget": "The networks in this file have {field} {kept}, the new ones {value}: they cannot be compared; write to another file.",
    "recipe_unreadable": "The recipe {path} cannot be read ({reason}); it needs tables [data], [model], [augment], [train] of settings.",
    "pretrained_unavailable": "There are no pretrained weights for {model}; start from a checkpoint, or import weights with import-weights first.",
    "pretrained_unreachable": "The pretrained weights of {model} could not be fetched from {url} ({reason}); connect to the network, or put the file into {path}.",
    "weights_damaged": "The weights in {path} cannot be read ({reason}); use another copy.",
    "weights_unsafe": "{path} was not opened: it is a pickle that would run code ({reason}); save its state_dict alone, as .safetensors or with torch.save.",
    "weights_unknown": "{path} holds no state_dict ({reason}); save model.state_dict().",
    "weights_need_a_network": "{path} does not say which network its weights belong to; name it, such as resnet20.",
    "weights_do_not_fit": "The weights of {source} do not fit {model}; closest mismatches (file -> network): {mismatches}; choose the network that they belong to.",
    "extra_missing": "This needs {name}, which is not installed; install it with '{command}'.",
    "export_failed": "The run could not be written to {target} ({reason}); check the place and try again.",
    "team_broken": "Another process of this training ended ({reason}); resume it to go on from the last saved state.",
    "run_failed": "The training ended with an error: {reason}.",
}

# What a person should know although nothing went wrong for good.
NOTES: dict[str, str] = {
    "started_from": "Started from {name}: {kept} of {total} tensors kept; drawn afresh, since their shapes differ: {fresh}.",
    "started_from_all": "Started from {name}: all {total} tensors kept.",
    "resume_older": "The newest resume state was damaged ({reason}); the one before it was used, so a few steps were trained again.",
    "resumed_elsewhere": "It began on another machine and goes on here on {device} in {precision}: from here on, last digits may differ.",
    "state_not_saved": "The resume state could not be saved ({reason}); the training goes on and tries again.",
    "early_stopped": "Stopped after {epochs} epochs without a better validation accuracy; the best epoch's weights are the result.",
}


class UserError(ValueError):
    """A wrong input with its remedy. `code` is a key of MESSAGES, `values` fill its placeholders.

    `field` names the setting it belongs to, when there is one, so that a form can show it in place.
    """

    def __init__(self, code: str, /, *, field: str | None = None, **values: object) -> None:
        self.code = code
        self.field = field
        self.values = {**({"field": field} if field is not None else {}), **values}
        super().__init__(MESSAGES[code].format(**self.values))

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (self.code, self.field, self.values)


def _rebuild(code: str, field: str | None, values: dict[str, object]) -> UserError:
    return UserError(code, field=field, **{k: v for k, v in values.items() if k != "field"})


MANY = 16  # names that are read out


def nearest(value: str, known: Iterable[str]) -> str:
    """The remedy for a misspelt name: the closest known ones or those that hold it, else all of them, or the first of many."""
    names = sorted(known)
    close = get_close_matches(value, names, n=3, cutoff=0.6) or [name for name in names if value and value.lower() in name.lower()][:3]
    return f"did you mean {', '.join(close)}" if close else f"known: {', '.join(names[:MANY])}{', ...' if len(names) > MANY else ''}"
