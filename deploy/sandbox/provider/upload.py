"""A multipart upload that goes straight to disk: form fields are kept, the file's bytes are not."""

from pathlib import Path
from typing import BinaryIO

from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from deploy.sandbox.provider.errors import ProviderError

MAX_FIELD = 4_096


class _Form:
    """Takes the parser's callbacks."""

    def __init__(self, out: BinaryIO, most: int) -> None:
        self.fields: dict[str, str] = {}
        self.filename: str | None = None
        self.size = 0
        self._out = out
        self._most = most
        self._header = b""
        self._value = b""
        self._name = ""
        self._text = bytearray()
        self._is_file = False

    def on_part_begin(self) -> None:
        self._name, self._is_file, self._text = "", False, bytearray()

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def on_header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            _, options = parse_options_header(self._value)
            self._name = options.get(b"name", b"").decode()
            if b"filename" in options:
                self._is_file, self.filename = True, options[b"filename"].decode("utf-8", "replace")
        self._header = self._value = b""

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        if not self._is_file:
            self._text += data[start : min(end, start + MAX_FIELD)]
            return
        self.size += end - start
        if self.size > self._most:
            raise ProviderError(400, "File is too large.", type="invalid_request_error")
        self._out.write(memoryview(data)[start:end])

    def on_part_end(self) -> None:
        if not self._is_file:
            self.fields[self._name] = self._text.decode("utf-8", "replace")


async def receive(request: Request, path: Path, most: int) -> tuple[dict[str, str], str, int]:
    """Write the part `file` to `path`; return (other fields, file name, bytes).

    ProviderError(400) for another content type, a missing part, or more than `most` bytes.
    """
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind != b"multipart/form-data" or b"boundary" not in options:
        raise ProviderError(400, "Invalid 'Content-Type' header, must be 'multipart/form-data' with a boundary.")
    with path.open("wb", 1 << 18) as out:
        form = _Form(out, most)
        parser = MultipartParser(
            options[b"boundary"],
            {
                "on_part_begin": form.on_part_begin,
                "on_header_field": form.on_header_field,
                "on_header_value": form.on_header_value,
                "on_header_end": form.on_header_end,
                "on_part_data": form.on_part_data,
                "on_part_end": form.on_part_end,
            },
        )
        async for chunk in request.stream():
            parser.write(chunk)
        parser.finalize()
    if form.filename is None:
        raise ProviderError(400, "'file' is a required property", param="file")
    return form.fields, form.filename, form.size
