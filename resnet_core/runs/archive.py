"""A whole run as one zip: trained on one machine, opened on another.

It holds run.json (config, row), metrics.json (the rows of every table), the checkpoints and the resume state. An import believes
nothing: only these names, bounded sizes, values of the right kinds, checkpoints whose hashes agree, and a state that is read without
running anything in it.
"""

import json
import re
import secrets
import shutil
import time
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from resnet_core.config import RunConfig
from resnet_core.errors import UserError
from resnet_core.runs.admission import (
    COLUMNS,
    FORMAT,
    METRICS,
    ROW,
    RUN_ID,
    TABLES,
    Refused,
    checked_columns,
    checked_config,
    checked_rows,
)
from resnet_core.runs.checkpoint import SUFFIX, load_weights, read_checkpoint
from resnet_core.runs.files import is_file
from resnet_core.runs.opening import checkpoints_of
from resnet_core.runs.resume_state import GENERATIONS, NEWEST, DamagedState, read_state
from resnet_core.runs.run import Run
from resnet_core.runs.store import Store
from resnet_core.writing import writing_to

MEMBER = re.compile(r"run\.json|metrics\.json|resume\.pt|(first|last|best|epoch-[0-9]{1,6})\.safetensors")
MEGABYTE = 1 << 20
LIMITS = {ROW: MEGABYTE, METRICS: 512 * MEGABYTE}  # bytes, unpacked
MEMBER_LIMIT, TOTAL_LIMIT, COUNT_LIMIT = 4096 * MEGABYTE, 16_384 * MEGABYTE, 1000


def export_run(store: Store, run: str, file: Path | IO[bytes]) -> None:
    """Write the run as a zip to a path (whole or not at all) or into an open file; one that still trains is exported as it stands."""
    found = store.run(run)
    if not isinstance(file, Path):
        _write(store, found, file)
        return
    temporary = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    with writing_to(file):
        try:
            with temporary.open("xb") as out:
                _write(store, found, out)
            temporary.replace(file)
        finally:
            temporary.unlink(missing_ok=True)


def _write(store: Store, run: Run, out: IO[bytes]) -> None:
    row = {column: getattr(run, column) for column in COLUMNS}
    described = {
        "format": FORMAT,
        "run": run.run,
        "config": run.config.to_dict(),
        "row": row,
        "facts": dict(run.facts),
        "result": dict(run.result),
        "error": run.error,
    }
    with zipfile.ZipFile(out, "w") as archive:
        for name in checkpoints_of(run.folder):
            archive.write(run.folder / f"{name}{SUFFIX}", f"{name}{SUFFIX}")  # weights hardly shrink
        state = _readable_state(run.folder)
        if state is not None:
            archive.writestr(NEWEST, state)
        archive.writestr(METRICS, json.dumps(_metrics(store, run.run)), zipfile.ZIP_DEFLATED)
        archive.writestr(ROW, json.dumps(described, indent=2), zipfile.ZIP_DEFLATED)


def _readable_state(folder: Path) -> bytes | None:
    for name in GENERATIONS:
        try:
            data = (folder / name).read_bytes()
            read_state(data)
        except (OSError, DamagedState):
            continue
        return data
    return None


def _metrics(store: Store, run: str) -> dict[str, list[list[Any]]]:
    with store.connection() as db:
        return {
            table: [
                list(row) for row in db.execute(f"SELECT {', '.join(columns)} FROM {table} WHERE run = ? ORDER BY {columns[0]}", (run,))
            ]
            for table, columns in TABLES.items()
        }


def import_run(store: Store, file: Path | IO[bytes]) -> Run:
    """Add the run in this zip to the store, under its own id or, where that is taken, a new one. Raises archive_refused with the reason."""
    name = str(file if isinstance(file, Path) else getattr(file, "name", "file"))
    if isinstance(file, Path) and not is_file(file):
        raise UserError("file_missing", path=file)
    folder = store.root / f".import-{secrets.token_hex(4)}"
    with _refusals(name), writing_to(store.root):
        try:
            with zipfile.ZipFile(file) as archive:
                _check_members(archive)
                described = _json_member(archive, ROW)
                metrics = _json_member(archive, METRICS)
                config = checked_config(described)
                columns = checked_columns(described)
                rows = checked_rows(metrics)
                _unpack(archive, folder, config)
            return _adopt(store, described, config, columns, rows, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _refusals(name: str) -> Iterator[None]:
    try:
        yield
    except Refused as error:
        raise UserError("archive_refused", path=name, reason=str(error)) from error
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise UserError("archive_refused", path=name, reason="it is not a whole zip file") from error


def _check_members(archive: zipfile.ZipFile) -> None:
    members = archive.infolist()
    names = [member.filename for member in members]
    strange = next((name for name in names if not MEMBER.fullmatch(name)), None)
    if strange is not None:
        raise Refused(f"it holds {strange[:80]!r}, which no exported run has")
    if len(set(names)) != len(names) or len(names) > COUNT_LIMIT:
        raise Refused("it holds a name twice, or too many of them")
    for missing in {ROW, METRICS} - set(names):
        raise Refused(f"{missing} is missing")
    if any(member.flag_bits & 1 for member in members):
        raise Refused("it is encrypted")
    for member in members:
        if member.file_size > LIMITS.get(member.filename, MEMBER_LIMIT):
            raise Refused(f"{member.filename} is too large")
    if sum(member.file_size for member in members) > TOTAL_LIMIT:
        raise Refused("it is too large")


def _json_member(archive: zipfile.ZipFile, name: str) -> dict[str, Any]:
    try:
        value = json.loads(archive.read(name))
    except (ValueError, RecursionError) as error:
        raise Refused(f"{name} is not JSON") from error
    if not isinstance(value, dict):
        raise Refused(f"{name} does not hold an object")
    return value


def _unpack(archive: zipfile.ZipFile, folder: Path, config: RunConfig) -> None:
    """Checkpoints and state into a folder of their own, each one opened once to see that it is whole and belongs to this run."""
    folder.mkdir(parents=True)
    for name in archive.namelist():
        if name in LIMITS:
            continue
        target = folder / name  # a known name: no part of it can lead elsewhere
        with archive.open(name) as source, target.open("xb") as out:
            shutil.copyfileobj(source, out)
        if name == NEWEST:
            try:
                read_state(target.read_bytes())
            except DamagedState as error:
                raise Refused(f"{name}: {error}") from error
            continue
        try:
            checkpoint = read_checkpoint(target)
            load_weights(checkpoint)
        except UserError as error:
            raise Refused(f"{name} is damaged or no checkpoint of ours") from error
        if checkpoint.config.model != config.model:
            raise Refused(f"{name} is of another network than the run")


def _adopt(
    store: Store,
    described: Mapping[str, Any],
    config: RunConfig,
    columns: dict[str, Any],
    rows: dict[str, list[tuple[Any, ...]]],
    folder: Path,
) -> Run:
    """The folder under its id, then the rows in one transaction."""
    own = described.get("run")
    run = own if isinstance(own, str) and RUN_ID.fullmatch(own) and store.is_free(own) else store.fresh_id(config)
    target = store.root / run
    folder.rename(target)
    values = {"run": run, "config": config.to_json(), "device": _device(config), "place": time.time(), **columns}
    try:
        with store.connection(writing=True) as db:
            db.execute(f"INSERT INTO runs ({', '.join(values)}) VALUES ({', '.join('?' * len(values))})", tuple(values.values()))
            for table, names in TABLES.items():
                marks = ", ".join("?" * (len(names) + 1))
                db.executemany(f"INSERT INTO {table} (run, {', '.join(names)}) VALUES ({marks})", [(run, *row) for row in rows[table]])
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise
    return store.run(run)


def _device(config: RunConfig) -> str:
    """Where it would go on here."""
    from resnet_core.training.device import pick_device

    try:
        return pick_device(config.train.device).type
    except UserError:
        return pick_device("auto").type
