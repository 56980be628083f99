"""What can go wrong when files are written, said in one sentence."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from resnet_core.errors import UserError

FULL = (errno.ENOSPC, errno.EDQUOT)
REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOENT, errno.ENAMETOOLONG, errno.EIO)


@contextmanager
def writing_to(path: Path) -> Iterator[None]:
    """Turn a full disk and a refused write below `path` into a UserError."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise UserError("disk_full", path=path, reason=error.strerror) from error
        if error.errno in REFUSED:
            raise UserError("not_writable", path=path, reason=error.strerror) from error
        raise
