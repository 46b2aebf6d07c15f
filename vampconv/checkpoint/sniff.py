"""What a file that is no checkpoint is instead, told from its first bytes, and what to do about it."""

from __future__ import annotations

from vampconv.checkpoint.source import AGAIN

HEAD = 4096
_RESAVE = (
    "load it in a PyTorch that reads it, in a safe place, and save its state dict again: "
    "torch.save(model.state_dict(), 'new.pth')"
)
_UNPACK = "unpack it and give the checkpoint inside"
_GIVE = "give a .pth or .safetensors checkpoint"
_LEGACY_MAGIC = b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."

_PREFIXES: tuple[tuple[bytes, str, str], ...] = (
    (b"version https://git-lfs", "a Git LFS pointer, not the checkpoint itself", "run `git lfs pull`"),
    (b"\x1f\x8b", "a gzip archive", _UNPACK),
    (b"BZh", "a bzip2 archive", _UNPACK),
    (b"\xfd7zXZ\x00", "an xz archive", _UNPACK),
    (b"\x28\xb5\x2f\xfd", "a zstd archive", _UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (b"Rar!", "a RAR archive", _UNPACK),
    (b"PK\x05\x06", "an empty zip archive", AGAIN),
    (b"PK\x07\x08", "a zip archive in several volumes", "join the volumes"),
    (b"\x93NUMPY", "a numpy array", _GIVE),
    (b"\x89HDF", "an HDF5 file", _GIVE),
    (b"GGUF", "a GGUF file", _GIVE),
    (b"\x89PNG", "a picture", _GIVE),
    (b"\xff\xd8\xff", "a picture", _GIVE),
    (b"%PDF", "a PDF document", _GIVE),
    (b"RIFF", "an audio file", _GIVE),
    (b"fLaC", "an audio file", _GIVE),
    (b"ID3", "an audio file", _GIVE),
    (b"OggS", "an audio file", _GIVE),
)
_MARKUP = (b"<!doctype", b"<html", b"<head", b"<?xml", b"<!--", b"<body")


def identify(head: bytes, size: int) -> tuple[str, str]:
    """A phrase that says what the file is, and the remedy.

    Parameters
    ----------
    head
        The first `HEAD` bytes, or all of a shorter file.
    size
        Of the whole file in bytes.

    """
    if size == 0:
        return "an empty file", AGAIN
    for prefix, what, fix in _PREFIXES:
        if head.startswith(prefix):
            return what, fix
    if head[257:262] == b"ustar":
        return "a tar archive (an old torch.save file, or a packed folder)", _UNPACK
    if not head.strip(b"\0"):
        return "filled with zero bytes", AGAIN
    return _pickle(head) or _onnx(head) or _text(head) or ("not a checkpoint of any known kind", _GIVE)


def _pickle(head: bytes) -> tuple[str, str] | None:
    if len(head) < 2 or head[0] != 0x80 or not 2 <= head[1] <= 5:
        return None
    if head[2:].startswith(_LEGACY_MAGIC):
        return "a legacy torch.save file of before PyTorch 1.6, which is a program rather than data", _RESAVE
    return "a bare pickle, not a torch.save archive", _RESAVE


def _onnx(head: bytes) -> tuple[str, str] | None:
    # ModelProto: field 1 (ir_version) as varint, then a length-delimited field or the opset import.
    if len(head) > 3 and head[0] == 0x08 and head[1] < 32 and head[2] in (0x12, 0x1A, 0x22, 0x32, 0x3A, 0x42):
        return "an ONNX model, which is what vampconv writes", "give the PyTorch checkpoint that it came from"
    return None


def _text(head: bytes) -> tuple[str, str] | None:
    stripped = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if stripped.startswith(_MARKUP):
        return "a web page, not a checkpoint", "download again, from the link to the file itself"
    text = head.decode("utf-8", errors="ignore")
    if (
        not text
        or len(text.encode()) < len(head) - 3
        or not all(c.isprintable() or c.isspace() for c in text)
    ):
        return None
    return "a text file, not a checkpoint", _GIVE


def identify_zip(names: list[str]) -> tuple[str, str]:
    """The same for a zip archive that is not a checkpoint, from the names of its records."""
    leaves = {name.rsplit("/", 1)[-1] for name in names}
    if "constants.pkl" in leaves:
        return "a TorchScript archive, which is a program rather than a checkpoint", _RESAVE
    if {"serialized_exported_program.json", "archive_format"} & leaves:
        return "an exported PyTorch program (.pt2), not a checkpoint", _RESAVE
    if names and all(name.endswith(".npy") for name in names):
        return "a numpy .npz archive, not a checkpoint", _GIVE
    if any(name.endswith((".pth", ".pt", ".ckpt", ".safetensors", ".data-00000-of-00001")) for name in names):
        return "a zip archive with checkpoints in it", _UNPACK
    return "a zip archive without a PyTorch checkpoint in it", _GIVE
