"""siraya_chat: chat completions from Python where nothing may be installed.

One file, standard library only, CPython 3.7 and later.  Copy it beside your program, vendor it,
or run it:

    import siraya_chat
    client = siraya_chat.Client()                       # the key is read from SIRAYA_API_KEY
    reply = client.complete("What is the meaning of life?", model="anthropic/claude-sonnet-4.5")
    print(reply.text)

    with client.stream("Tell me a story.", model="anthropic/claude-sonnet-4.5") as stream:
        for piece in stream.text_stream:
            print(piece, end="", flush=True)

    $ python -m siraya_chat "What is the meaning of life?"

It speaks to the Siraya Model Router (https://llm.siraya.pro/v1) and to every server with the same
chat-completions format.  The file reads from top to bottom: errors, the data that comes back,
messages and attachments, building a request, Server-Sent Events, putting a stream together, the
transport, the client, the command line.  All before the transport is pure: it touches no socket.

SPDX-License-Identifier: MIT
"""

from __future__ import annotations

import binascii
import collections
import http.client
import json
import math
import operator
import os
import random
import re
import socket
import ssl
import sys
import time
import urllib.parse
import urllib.request
import warnings
import zlib

TYPE_CHECKING = False  # type checkers take it for true; `typing` is never imported at run time
if TYPE_CHECKING:
    from types import TracebackType
    from typing import (Any, AsyncIterator, BinaryIO, Callable, Deque, Dict, Iterable, Iterator, List, Literal,
                        Mapping, NoReturn, Optional, Sequence, TextIO, Tuple, Type, TypeVar, Union, overload)

    _Dict = Dict[str, Any]
    _List = List[Any]
    _Messages = Union[str, Iterable[Mapping[str, Any]]]
    _Part = Dict[str, Any]
    _Source = Union[str, "os.PathLike[str]", bytes, bytearray, memoryview, BinaryIO]
    _Self = TypeVar("_Self")
else:
    _Dict, _List = dict, list

__version__ = "1.0.0"
__all__ = [
    "Client", "Stream", "Completion", "JSONObject",
    "system", "user", "assistant", "tool_result", "image", "pdf", "audio", "video", "attach",
    "json_schema", "build_request", "SSEParser", "Event", "main",
    "SirayaError", "APIConnectionError", "APITimeoutError", "APIStatusError", "BadRequestError",
    "AuthenticationError", "PaymentRequiredError", "PermissionDeniedError", "NotFoundError",
    "RateLimitError", "InternalServerError", "ResponseError", "StreamError",
]

DEFAULT_BASE_URL = "https://llm.siraya.pro/v1"
DEFAULT_MODEL = "anthropic/claude-sonnet-4.5"  # of the command line; the library has none

MAX_BODY_BYTES = 256 << 20   # of one answer; a million streamed tokens are about 250 MiB
MAX_EVENT_BYTES = 64 << 20   # without an event's end; an inline image is a few MiB
MAX_ERROR_BODY_BYTES = 1 << 20  # of an error answer; the rest is left unread
MAX_MESSAGE_CHARACTERS = 1000   # of an error's text, which servers fill with whole HTML pages
MAX_RETRY_AFTER = 60.0       # seconds; a server that asks for longer gets our own backoff instead
MAX_BACKOFF = 8.0            # seconds
MIN_BACKOFF = 0.5            # seconds
MAX_IDLE_CONNECTIONS = 32
MAX_IDLE_SECONDS = 30.0      # load balancers and firewalls forget a silent connection after a minute or so
DRAIN_SECONDS = 0.1          # for the few bytes that follow [DONE], before the connection is used again
DRAIN_BYTES = 64 << 10
BLOCK_BYTES = 64 << 10       # read from a socket, or written to it, at once


# ---------------------------------------------------------------------------------------- errors


class SirayaError(Exception):
    """What every error of this module is.  ``str(error)`` is one line of bounded length."""

    def __init__(self, message: str = "") -> None:
        # Control characters go too: an error of a hostile server may be printed on a terminal.
        message = " ".join(re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+", " ", message[:10000]).split())
        if len(message) > MAX_MESSAGE_CHARACTERS:
            message = message[:MAX_MESSAGE_CHARACTERS - 1] + "\u2026"
        super().__init__(message)


class APIConnectionError(SirayaError):
    """The service was not reached, or the connection failed (DNS, TCP, proxy, TLS, HTTP).

    ``body``: what had arrived of the answer, ``None`` before one began.
    """

    body: Optional[str] = None


class APITimeoutError(APIConnectionError):
    """Connecting took longer than ``connect_timeout``, or no byte came or went for ``timeout`` seconds."""


class APIStatusError(SirayaError):
    """The service answered with a status other than 2xx.

    ``status_code``; ``code``, ``type`` and ``param`` of the error object (or ``None``); ``body``, the
    parsed JSON or else the text; ``headers``, a case-insensitive mapping; ``request_id``;
    ``retry_after``, the seconds that the server asked to wait, or ``None``.
    """

    status_code: int = 0
    code: Any = None
    type: Any = None
    param: Any = None
    body: Any = None
    headers: Any = None
    request_id: Optional[str] = None
    retry_after: Optional[float] = None


class BadRequestError(APIStatusError):
    """400: the request is malformed, or the model does not take it."""


class AuthenticationError(APIStatusError):
    """401: the key is missing or wrong."""


class PaymentRequiredError(APIStatusError):
    """402: the balance is too low."""


class PermissionDeniedError(APIStatusError):
    """403: blocked, by moderation or region."""


class NotFoundError(APIStatusError):
    """404: no such model or path."""


class RateLimitError(APIStatusError):
    """429: too many requests."""


class InternalServerError(APIStatusError):
    """5xx: trouble at the service or the model's provider."""


class ResponseError(SirayaError):
    """The answer is not what the API promises: not JSON, an error in place of one, or too large.

    ``body``: its text, or the parsed error object.
    """

    body: Any = None


class StreamError(ResponseError):
    """A stream ended before its answer did: an error event, truncation, a malformed chunk, a lost connection.

    ``partial``: the `Completion` so far; nothing that arrived is lost.
    """

    def __init__(self, message: str = "", partial: Optional[Completion] = None) -> None:
        super().__init__(message)
        self.partial = Completion(choices=[]) if partial is None else partial


_STATUS_ERRORS: Dict[int, Type[APIStatusError]] = {
    400: BadRequestError, 401: AuthenticationError, 402: PaymentRequiredError,
    403: PermissionDeniedError, 404: NotFoundError, 429: RateLimitError,
}


def _status_error(status: int, reason: str, headers: http.client.HTTPMessage, text: str) -> APIStatusError:
    """The error for an answer with this status line, these headers and this body."""
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        body = text
    detail = body.get("error", body) if isinstance(body, dict) else body
    fields = detail if isinstance(detail, dict) else {}
    said = _error_text(body) or re.sub(r"<(style|script)\b.*?</\1>|<[^>]*>", " ", text[:10000], flags=re.S | re.I)
    message = "HTTP %d %s: %s" % (status, reason, said) if said.strip() else "HTTP %d %s" % (status, reason)
    if 300 <= status < 400:
        message = "HTTP %d %s: the server points to %r; redirects are not followed, so set base_url to where the API is" % (
            status, reason, headers.get("Location", "nowhere"))
    error = _STATUS_ERRORS.get(status, InternalServerError if status >= 500 else APIStatusError)(message)
    error.status_code, error.headers, error.body = status, headers, body
    error.code, error.type, error.param = fields.get("code"), fields.get("type"), fields.get("param")
    error.request_id = headers.get("x-request-id")
    error.retry_after = _retry_after(headers)
    return error


def _error_text(body: Any) -> str:
    """The sentence in an error body: ``{"error": {"message": …}}`` and the other shapes that are seen."""
    for _ in range(3):
        if isinstance(body, dict):
            body = next((body[key] for key in ("error", "message", "detail") if body.get(key)), None)
    return body if isinstance(body, str) else ""


def _retry_after(headers: Mapping[str, str]) -> Optional[float]:
    """Seconds to wait by ``retry-after-ms`` or else ``Retry-After`` (RFC 9110 § 10.2.3), or ``None``."""
    for name, unit in (("retry-after-ms", 0.001), ("Retry-After", 1.0)):
        value = headers.get(name)
        if value is None:
            continue
        try:
            seconds = float(value) * unit
        except ValueError:
            import email.utils
            try:
                moment = email.utils.parsedate_to_datetime(value)
                seconds = max(0.0, moment.timestamp() - time.time())
            except (TypeError, ValueError, OverflowError, IndexError):
                continue
        if 0 <= seconds < math.inf:  # not so for NaN
            return seconds
    return None


def _retry_delay(attempt: int, retry_after: Optional[float] = None) -> float:
    """Seconds to wait before retry number *attempt*, from 0: what the server asked for, or our own backoff.

    The jitter spreads over the whole span, so that clients that failed together do not return together.
    """
    if retry_after is not None and retry_after <= MAX_RETRY_AFTER:
        return retry_after
    return random.uniform(MIN_BACKOFF, min(MAX_BACKOFF, MIN_BACKOFF * 2.0 ** (attempt + 1)))


# ------------------------------------------------------------------------ the data that comes back


class JSONObject(_Dict):
    """A JSON object of an answer: a plain ``dict`` whose keys read as attributes too, at any depth.

    A field that the API defines and the answer lacks reads as ``None``; any other name that is no
    key raises ``AttributeError``.  Where a key is named like a method of ``dict``, the method wins.
    """

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        # An answer must not pose as Python's own protocols: copy and pickle ask for dunder names.
        if name in self and not name.startswith("__"):
            return self[name]
        raise AttributeError("%s has no field %r; it has %s" % (type(self).__name__, name, ", ".join(map(repr, self))))


# Properties in C: chunk.choices[0].delta.content takes a fifth of the time that __getattr__ would take.
for _name in (
        "id object created model choices usage system_fingerprint service_tier provider cost cost_details error "
        "index message delta finish_reason native_finish_reason logprobs role content refusal reasoning "
        "reasoning_content reasoning_details annotations images audio tool_calls function_call type function name "
        "arguments prompt_tokens completion_tokens total_tokens prompt_tokens_details completion_tokens_details "
        "cached_tokens reasoning_tokens audio_tokens accepted_prediction_tokens rejected_prediction_tokens "
        "token bytes logprob top_logprobs url_citation start_index end_index title url data transcript "
        "expires_at code param").split():
    setattr(JSONObject, _name, property(operator.methodcaller("get", _name)))
del _name


class Completion(JSONObject):
    """A whole answer, streamed or not, as the service sent it, with short ways to its first choice."""

    __slots__ = ()

    def _first(self, name: str) -> Any:
        return self.choices[0].get(name) if self.choices else None

    @property
    def message(self) -> Any:
        """The first choice's message, a dict that can be appended to ``messages``; ``None`` if there is none."""
        return self._first("message")

    @property
    def text(self) -> str:
        """The first choice's content; ``""`` if it has none."""
        content = (self.message or {}).get("content")
        return content if isinstance(content, str) else ""

    @property
    def tool_calls(self) -> _List:
        """The first choice's tool calls; an empty list if it has none."""
        return (self.message or {}).get("tool_calls") or []

    @property
    def finish_reason(self) -> Any:
        """Why the first choice ended: ``"stop"``, ``"length"``, ``"tool_calls"``…; ``None`` if not said."""
        return self._first("finish_reason")

    def json(self) -> Any:
        """The text parsed as JSON.  Raises `ResponseError`, with the text in ``.body``, if it is none."""
        try:
            return _DECODER.decode(self.text)
        except (ValueError, RecursionError) as error:
            failure = ResponseError("the answer's text is not JSON (%s): %r" % (error, self.text[:200]))
            failure.body = self.text
            raise failure from None


_DECODER = json.JSONDecoder(object_hook=JSONObject)


def _completion(body: bytes) -> Completion:
    """The `Completion` in a whole answer's body.  Raises `ResponseError` for anything else."""
    text = body.decode("utf-8", "replace")
    try:
        value = _DECODER.decode(text.lstrip("\ufeff"))
        problem = _problem(value, "message")
    except RecursionError:
        problem = "it is nested too deeply"
    except ValueError as error:
        problem = "it is not JSON (%s): %r" % (error, text[:200]) if text.strip() else "it is empty"
    if not problem:
        return Completion(value)
    failure = ResponseError("the answer is no chat completion: " + problem)
    failure.body = text
    raise failure


def _problem(value: Any, holder: str) -> str:
    """What is wrong with a parsed answer or chunk whose choices hold their content in *holder*; ``""`` if nothing."""
    if not isinstance(value, dict):
        return "it is %s, not an object" % type(value).__name__
    if value.get("error"):
        return "it is an error: %s" % (_error_text(value) or "%.200r" % (value["error"],))
    choices = value.get("choices")
    if not isinstance(choices, list) and (choices is not None or holder == "message"):
        return "its 'choices' is %.100r, not an array" % (choices,)
    for choice in choices or ():
        if not isinstance(choice, dict):
            return "a choice is %.100r, not an object" % (choice,)
        if not isinstance(choice.get(holder), (dict, type(None))):
            return "a choice's %r is %.100r, not an object" % (holder, choice[holder])
    return ""


# ------------------------------------------------------------------------------- messages and attachments


def system(text: str) -> _Part:
    """A system message: instructions for the whole conversation."""
    return {"role": "system", "content": _text("system", text)}


def user(*parts: Union[str, _Part]) -> _Part:
    """A user message: one text, or any mix of texts and parts (`image`, `pdf`, `audio`, `video`, `attach`)."""
    if not parts:
        raise ValueError("user() needs a text or a part")
    for part in parts:
        if not isinstance(part, (str, dict)):
            raise TypeError("user() takes texts and parts such as image(…), not %s" % type(part).__name__)
    if len(parts) == 1 and isinstance(parts[0], str):
        return {"role": "user", "content": parts[0]}
    return {"role": "user", "content": [
        {"type": "text", "text": part} if isinstance(part, str) else part for part in parts]}


def assistant(text: str) -> _Part:
    """An assistant message: what the model said before, or is to be taken to have said."""
    return {"role": "assistant", "content": _text("assistant", text)}


def tool_result(tool_call_id: str, content: Union[str, List[_Part]]) -> _Part:
    """The message that answers a tool call: its ``id``, and the result as text (``json.dumps`` a structure)."""
    if not isinstance(content, list):
        _text("tool_result", content)
    return {"role": "tool", "tool_call_id": _text("tool_result", tool_call_id), "content": content}


def _text(where: str, value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("%s() takes a str, not %s" % (where, type(value).__name__))
    return value


def image(source: _Source, *, detail: Optional[str] = None, media_type: Optional[str] = None) -> _Part:
    """An image part: PNG, JPEG, GIF or WebP.

    *source* is a path, bytes, an open binary file, or an ``http(s):`` or ``data:`` URL; *detail* is
    ``"auto"``, ``"low"`` or ``"high"``; *media_type* (``"image/…"``) overrules what the content and
    the name say.  Raises ``ValueError`` or ``TypeError`` for what is no such image, ``OSError`` for
    what cannot be read.  The other helpers take their *source* and *media_type* alike.
    """
    if detail not in (None, "auto", "low", "high"):
        raise ValueError("image: detail must be 'auto', 'low' or 'high', not %r" % (detail,))
    return _image_part(_Attachment("image", source, media_type), detail)


def pdf(source: _Source, *, filename: Optional[str] = None, media_type: Optional[str] = None) -> _Part:
    """A PDF part, with the file name that the model is told (default: the source's own)."""
    return _file_part(_Attachment("pdf", source, media_type), filename)


def audio(source: _Source, *, format: Optional[str] = None, media_type: Optional[str] = None) -> _Part:
    """An audio part: WAV or MP3, always as data.  *format* is ``"wav"`` or ``"mp3"`` and overrules detection."""
    if format not in (None, "wav", "mp3"):
        raise ValueError("audio: format must be 'wav' or 'mp3', not %r" % (format,))
    return _audio_part(_Attachment("audio", source, "audio/" + format if format else media_type))


def video(source: _Source, *, media_type: Optional[str] = None) -> _Part:
    """A video part: MP4, MPEG, QuickTime (MOV) or WebM."""
    return _video_part(_Attachment("video", source, media_type))


def attach(source: _Source, *, media_type: Optional[str] = None) -> _Part:
    """The part that fits what *source* is: image, PDF, audio, video, text (UTF-8, named), or another document."""
    attachment = _Attachment("attach", source, media_type)
    kind = _kind(attachment.media_type)
    if kind == "text" and not attachment.remote:
        return _text_part(attachment)
    return {"image": _image_part, "audio": _audio_part, "video": _video_part}.get(kind, _file_part)(attachment)


def _image_part(attachment: _Attachment, detail: Optional[str] = None) -> _Part:
    url = {"url": attachment.url()}
    if detail is not None:
        url["detail"] = detail
    return {"type": "image_url", "image_url": url}


def _video_part(attachment: _Attachment) -> _Part:
    return {"type": "video_url", "video_url": {"url": attachment.url()}}


def _audio_part(attachment: _Attachment) -> _Part:
    form = _AUDIO_FORMATS.get(attachment.media_type)
    if form is None:
        raise ValueError("%s is %s; the API takes audio as WAV or MP3 only (format= overrules this)" % (
            attachment.label, attachment.media_type))
    return {"type": "input_audio", "input_audio": {"data": attachment.base64(), "format": form}}


def _file_part(attachment: _Attachment, filename: Optional[str] = None) -> _Part:
    name = attachment.name or "document" + next(
        (ending for ending, media_type in _ENDINGS.items() if media_type == attachment.media_type), "")
    return {"type": "file", "file": {"filename": filename or name, "file_data": attachment.url()}}


def _text_part(attachment: _Attachment) -> _Part:
    try:
        text = attachment.bytes().decode("utf-8-sig")
    except UnicodeDecodeError:  # text/plain by the caller's word: the service may know its encoding
        return _file_part(attachment)
    name = json.dumps(attachment.name or "text", ensure_ascii=False)
    return {"type": "text", "text": "<file name=%s>\n%s\n</file>" % (name, text)}


_ENDINGS = {  # file names' endings, for what has no signature or is only a URL
    ".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".gif": "image/gif", ".webp": "image/webp",
    ".pdf": "application/pdf", ".wav": "audio/wav", ".mp3": "audio/mpeg", ".mp4": "video/mp4", ".m4v": "video/mp4",
    ".mov": "video/quicktime", ".mpg": "video/mpeg", ".mpeg": "video/mpeg", ".webm": "video/webm",
    ".doc": "application/msword", ".xls": "application/vnd.ms-excel", ".ppt": "application/vnd.ms-powerpoint",
    ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ".pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    ".odt": "application/vnd.oasis.opendocument.text", ".ods": "application/vnd.oasis.opendocument.spreadsheet",
    ".odp": "application/vnd.oasis.opendocument.presentation", ".epub": "application/epub+zip", ".rtf": "application/rtf",
}
_TEXT_ENDINGS = {".txt": "text/plain", ".md": "text/markdown", ".csv": "text/csv", ".html": "text/html",
                 ".json": "application/json", ".xml": "application/xml"}  # of URLs; a file's content tells
_SIGNATURES = (  # where, which bytes, what it is
    (0, b"\x89PNG\r\n\x1a\n", "image/png"), (0, b"\xff\xd8\xff", "image/jpeg"), (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"), (8, b"WEBP", "image/webp"), (8, b"WAVE", "audio/wav"), (0, b"%PDF-", "application/pdf"),
    (0, b"ID3", "audio/mpeg"), (4, b"ftypqt", "video/quicktime"), (4, b"ftypM4A", "audio/mp4"),
    (4, b"ftypavif", "image/avif"), (4, b"ftyphei", "image/heic"), (4, b"ftypmif1", "image/heic"), (4, b"ftyp", "video/mp4"),
    (4, b"moov", "video/quicktime"), (4, b"mdat", "video/quicktime"), (4, b"wide", "video/quicktime"),
    (0, b"\0\0\1\xba", "video/mpeg"), (0, b"\0\0\1\xb3", "video/mpeg"),
)
_AUDIO_FORMATS = {"audio/wav": "wav", "audio/x-wav": "wav", "audio/wave": "wav", "audio/vnd.wave": "wav",
                  "audio/mpeg": "mp3", "audio/mp3": "mp3"}
_ACCEPTED = {  # by each helper, without media_type=
    "image": ("image/png", "image/jpeg", "image/gif", "image/webp"), "pdf": ("application/pdf",),
    "audio": tuple(_AUDIO_FORMATS), "video": ("video/mp4", "video/mpeg", "video/quicktime", "video/webm"),
}


def _sniff(head: bytes) -> Optional[str]:
    """The media type that a file's first bytes show, or ``None``."""
    for offset, signature, media_type in _SIGNATURES:
        if head.startswith(signature, offset) and (offset != 8 or head.startswith(b"RIFF")):
            return media_type
    if head.startswith(b"\x1a\x45\xdf\xa3"):  # EBML: the document type follows in the header
        return "video/webm" if b"webm" in head[:64] else "video/x-matroska"
    if len(head) > 2 and head[0] == 0xFF and head[1] & 0xE6 == 0xE2 and head[2] & 0xF0 != 0xF0 and head[2] & 0x0C != 0x0C:
        return "audio/mpeg"  # a frame header without ID3: sync, layer III, a valid bit rate and sampling rate
    return None


def _kind(media_type: str) -> str:
    family = media_type.partition("/")[0]
    return "pdf" if media_type == "application/pdf" else family if family in ("image", "audio", "video", "text") else "file"


class _Attachment:
    """A source that was opened far enough to know what it is.  Raises for what the helper cannot take."""

    def __init__(self, helper: str, source: _Source, media_type: Optional[str]) -> None:
        self.helper, self.name, self._url = helper, "", ""
        self._blocks: Iterator[bytes] = iter(())
        if media_type is not None and not re.match(r"[\w.+-]+/[\w.+-]+$", _text(helper, media_type)):
            raise ValueError("%s: media_type must look like 'image/png', not %r" % (helper, media_type))
        if isinstance(source, str) and re.match(r"(https?|data):", source, re.I):
            detected = self._open_url(source)
        else:
            detected = self._open(source)
        self.label = "%s: %s" % (helper, repr(self.name) if self.name else "the source")
        self.media_type = media_type or detected or ""
        self.remote = self._url[:4].lower() == "http"  # nothing is fetched: a URL is passed on
        if media_type and self._url and not self.remote:
            self._url = "data:%s;base64,%s" % (media_type, self._url.partition(",")[2])
        self._check(overruled=media_type is not None)

    def _open(self, source: Any) -> Optional[str]:
        if isinstance(source, (str, os.PathLike)):
            path = os.fspath(source)
            if os.path.isdir(path):
                raise ValueError("%s: %r is a directory, not a file" % (self.helper, path))
            self.name, blocks = os.path.basename(path), _file_blocks(open(path, "rb"), close=True)
        elif isinstance(source, (bytes, bytearray, memoryview)):
            blocks = _memory_blocks(memoryview(source).cast("B"))
        elif callable(getattr(source, "read", None)):
            name = getattr(source, "name", "")
            self.name, blocks = os.path.basename(name) if isinstance(name, str) else "", _file_blocks(source)
        else:
            raise TypeError("%s: the source must be a path, bytes, an open binary file or a URL, not %s" % (
                self.helper, type(source).__name__))
        first = next(blocks, b"")
        if not first:
            raise ValueError("%s: %s is empty" % (self.helper, repr(self.name) if self.name else "the source"))
        self._blocks = _chain(first, blocks)
        detected = _sniff(first[:64]) or _ENDINGS.get(os.path.splitext(self.name)[1].lower())
        if detected is None and self.helper == "attach":
            whole = b"".join(self._blocks)
            self._blocks = _memory_blocks(memoryview(whole))
            detected = "text/plain" if _is_text(whole) else None
        return detected

    def _open_url(self, url: str) -> Optional[str]:
        if url[:5].lower() == "data:":
            match = re.match(r"data:([^;,]*)[^,]*?(;base64)?,", url[:500], re.I)
            if not match or not match.group(2):
                raise ValueError("%s: a data: URL must read data:TYPE/SUBTYPE;base64,…, not %.60r" % (self.helper, url))
            self._url = url
            return match.group(1).lower() or None
        path = urllib.parse.urlsplit(url).path
        self.name, self._url = urllib.parse.unquote(path.rpartition("/")[2]), url
        ending = os.path.splitext(path)[1].lower()
        return _ENDINGS.get(ending) or _TEXT_ENDINGS.get(ending)

    def _check(self, overruled: bool) -> None:
        """Raise where the helper does not take this type of content."""
        kind = _kind(self.media_type)
        if self.remote and "audio" in (self.helper, kind):
            raise ValueError("%s: the API takes audio as data only, never as a URL: download it first" % self.label)
        if self.helper != "attach" and self.remote and not self.media_type:
            return  # the helper's own word has to do
        if not self.media_type:
            raise ValueError("%s is of no known type; media_type= says what it is, e.g. media_type=%r" % (
                self.label, _ACCEPTED.get(self.helper, ("text/plain",))[0]))
        accepted = _ACCEPTED.get(kind if self.helper == "attach" else self.helper, (self.media_type,))
        if self.media_type not in accepted and not (overruled and self.helper in ("attach", kind)):
            raise ValueError("%s is %s; %s takes %s (media_type= overrules what was detected)" % (
                self.label, self.media_type, self.helper, ", ".join(accepted)))

    def url(self) -> str:
        """The URL as it was given, or a ``data:`` URL."""
        return self._url or self.base64("data:%s;base64," % self.media_type)

    def base64(self, prefix: str = "") -> str:
        """The content in base64.  Holds 2.7 times its size at the peak: the pieces and the joined text."""
        if self._url:
            return self._url.partition(",")[2]
        return "".join(_chain(prefix, (binascii.b2a_base64(block, newline=False).decode() for block in self._blocks)))

    def bytes(self) -> bytes:
        if self._url[:5].lower() == "data:":
            return binascii.a2b_base64(self._url.partition(",")[2])
        return b"".join(self._blocks)


def _chain(first: Any, rest: Iterable[Any]) -> Iterator[Any]:
    yield first
    yield from rest


def _file_blocks(file: Any, close: bool = False) -> Iterator[bytes]:
    """A file's content in blocks whose size is a multiple of three, so that base64 can be joined."""
    size = 3 * BLOCK_BYTES
    try:
        block = b""
        while True:
            read = file.read(size - len(block))
            if not isinstance(read, bytes):
                raise TypeError("the file must be opened in binary mode, e.g. open(path, 'rb')")
            block += read
            if len(block) == size or not read:  # a raw file or a pipe may give less than was asked for
                yield block
                block = b""
            if not read:
                return
    finally:
        if close:
            file.close()


def _memory_blocks(view: memoryview) -> Iterator[bytes]:
    for start in range(0, len(view), 3 * BLOCK_BYTES):
        yield bytes(view[start:start + 3 * BLOCK_BYTES])


def _is_text(content: bytes) -> bool:
    try:
        return "\0" not in content.decode("utf-8")
    except UnicodeDecodeError:
        return False


# --------------------------------------------------------------------------------- building a request


def json_schema(schema: Mapping[str, Any], name: str = "response", *, strict: bool = True,
                description: Optional[str] = None) -> _Dict:
    """A ``response_format`` that makes the answer follow a JSON Schema.  *name*: 1 to 64 of ``A-Za-z0-9_-``."""
    form: _Dict = {"name": name, "schema": schema, "strict": strict}
    if description is not None:
        form["description"] = description
    response_format = {"type": "json_schema", "json_schema": form}
    _check_response_format("response_format", response_format)
    return response_format


def build_request(
        messages: _Messages, model: Optional[str], *, stream: bool = False, temperature: Optional[float] = None,
        max_tokens: Optional[int] = None, top_p: Optional[float] = None, frequency_penalty: Optional[float] = None,
        presence_penalty: Optional[float] = None, stop: Union[str, Sequence[str], None] = None,
        tools: Optional[Sequence[Mapping[str, Any]]] = None, tool_choice: Union[str, Mapping[str, Any], None] = None,
        provider: Optional[Mapping[str, Any]] = None, response_format: Optional[Mapping[str, Any]] = None,
        extra_body: Optional[Mapping[str, Any]] = None, **params: Any) -> _Dict:
    """The JSON body of a request, as a new plain dict; the arguments are checked and never changed.

    *messages*: a str (one user message) or message dicts, at least one.  *model*: e.g.
    ``"anthropic/claude-sonnet-4.5"``.  *temperature*: 0 to 2.  *max_tokens*: from 1.  *top_p*: 0 to 1.
    *frequency_penalty*, *presence_penalty*: -2 to 2.  *stop*: one text or several.  *tools*: function
    definitions; *tool_choice*: ``"auto"``, ``"none"``, ``"required"`` or one function.  *provider*:
    routing, e.g. ``{"sort": "price"}``.  *response_format*: see `json_schema`.  Any other parameter is
    sent as it is.  ``None`` means "not sent"; *extra_body* is merged in last and may hold ``None``.

    Raises ``ValueError`` or ``TypeError`` naming the parameter, its value and what is allowed.
    """
    params.update(
        temperature=temperature, max_tokens=max_tokens, top_p=top_p, frequency_penalty=frequency_penalty,
        presence_penalty=presence_penalty, stop=stop, tools=tools, tool_choice=tool_choice, provider=provider,
        response_format=response_format)
    if model is None:
        raise ValueError("model is required, e.g. 'anthropic/claude-sonnet-4.5'")
    _check_type("model", model, str)
    _check_type("stream", stream, bool)
    body: _Dict = {"model": model, "messages": _checked_messages(messages)}
    if not model:
        raise ValueError("model must not be empty")
    if stream:
        body["stream"] = True
    for name, value in params.items():
        if value is not None:
            if name in _CHECKS:
                _CHECKS[name](name, value)
            body[name] = value
    if extra_body is not None:
        _check_type("extra_body", extra_body, dict)
        body.update(extra_body)
    try:
        _check_json("", body)
    except RecursionError:
        raise ValueError("the request is nested too deeply, or contains itself") from None
    return body


def _fail(name: str, value: Any, allowed: str, kind: Type[Exception] = ValueError) -> NoReturn:
    raise kind("%s must be %s, not %.200r" % (name, allowed, value))


def _check_type(name: str, value: Any, kinds: Any, allowed: str = "") -> None:
    if not isinstance(value, kinds) or isinstance(value, bool) and kinds is not bool:
        _fail(name, value, allowed or {str: "a string", bool: "True or False", dict: "a dict"}[kinds], TypeError)


def _check_number(low: float, high: float) -> Callable[[str, Any], None]:
    def check(name: str, value: Any) -> None:
        _check_type(name, value, (int, float), "a number from %g to %g" % (low, high))
        if not low <= value <= high:  # false for NaN too
            _fail(name, value, "a number from %g to %g" % (low, high))
    return check


def _check_max_tokens(name: str, value: Any) -> None:
    _check_type(name, value, int, "an integer from 1")
    if value < 1:
        _fail(name, value, "an integer from 1")


def _check_stop(name: str, value: Any) -> None:
    if not isinstance(value, str):
        _check_type(name, value, (list, tuple), "a string or a list of strings")
        for position, text in enumerate(value):
            _check_type("%s[%d]" % (name, position), text, str)


def _check_tools(name: str, value: Any) -> None:
    _check_type(name, value, (list, tuple), "a list of tool definitions")
    for position, tool in enumerate(value):
        _check_function("%s[%d]" % (name, position), tool)


def _check_tool_choice(name: str, value: Any) -> None:
    allowed = "'auto', 'none', 'required' or {'type': 'function', 'function': {'name': …}}"
    if isinstance(value, str):
        if value not in ("auto", "none", "required"):
            _fail(name, value, allowed)
    else:
        _check_type(name, value, dict, allowed)
        _check_function(name, value)


def _check_function(name: str, value: Any) -> None:
    """A tool definition or choice: ``{"type": "function", "function": {"name": …, …}}``."""
    _check_type(name, value, dict)
    if value.get("type") != "function":
        _fail(name + ".type", value.get("type"), "'function'")
    _check_fields(name + ".function", value.get("function"), "name")
    if not value["function"]["name"]:
        _fail(name + ".function.name", "", "the name of a function")


def _check_provider(name: str, value: Any) -> None:
    _check_type(name, value, dict)
    if value.get("sort") not in (None, "price", "throughput", "latency"):
        _fail(name + ".sort", value["sort"], "'price', 'throughput' or 'latency'")
    if value.get("allow_fallbacks") is not None:
        _check_type(name + ".allow_fallbacks", value["allow_fallbacks"], bool)


def _check_response_format(name: str, value: Any) -> None:
    _check_type(name, value, dict)
    kind = value.get("type")
    if kind not in ("json_schema", "json", "text", "json_object"):
        _fail(name + ".type", kind, "'json_schema', 'json_object', 'json' or 'text'")
    if kind == "json_schema":
        form, name = value.get("json_schema"), name + ".json_schema"
        _check_fields(name, form, "name", "schema")
        if not re.match(r"[A-Za-z0-9_-]{1,64}\Z", form["name"]):
            _fail(name + ".name", form["name"], "1 to 64 letters, digits, '_' or '-'")
    elif kind == "json":
        _check_fields(name, value)


def _check_fields(name: str, value: Any, *required: str) -> None:
    """The fields that function definitions and response formats share, each of its type where it is given."""
    _check_type(name, value, dict)
    for field, kind in (("name", str), ("description", str), ("schema", dict), ("parameters", dict), ("strict", bool)):
        if value.get(field) is not None:
            _check_type("%s.%s" % (name, field), value[field], kind)
        elif field in required:
            raise ValueError("%s needs a %r" % (name, field))


_CHECKS: Dict[str, Callable[[str, Any], None]] = {
    "temperature": _check_number(0, 2), "top_p": _check_number(0, 1), "frequency_penalty": _check_number(-2, 2),
    "presence_penalty": _check_number(-2, 2), "max_tokens": _check_max_tokens, "stop": _check_stop,
    "tools": _check_tools, "tool_choice": _check_tool_choice, "provider": _check_provider,
    "response_format": _check_response_format,
}
_ROLES = ("system", "developer", "user", "assistant", "tool")


def _checked_messages(messages: Any) -> _List:
    """The messages as a new list.  The dicts in it are the caller's own."""
    if isinstance(messages, str):
        return [user(messages)]
    if isinstance(messages, (bytes, dict)) or not hasattr(messages, "__iter__"):
        _fail("messages", messages, "a string or a list of message dicts", TypeError)
    messages = list(messages)
    if not messages:
        raise ValueError("messages must not be empty")
    for position, message in enumerate(messages):
        name = "messages[%d]" % position
        _check_type(name, message, dict, "a dict such as user('…')")
        if message.get("role") not in _ROLES:
            _fail(name + ".role", message.get("role"), "one of " + ", ".join(_ROLES))
        content = message.get("content")
        if content is None and message["role"] != "assistant":
            raise ValueError("%s needs a 'content'" % name)
        _check_type(name + ".content", content, (str, list, tuple, type(None)), "a string or a list of parts")
        for index, part in enumerate(content if isinstance(content, (list, tuple)) else ()):
            _check_type("%s.content[%d]" % (name, index), part, dict, "a part such as {'type': 'text', 'text': '…'}")
            _check_type("%s.content[%d].type" % (name, index), part.get("type"), str)
    return messages


def _check_json(name: str, value: Any) -> None:
    """Raise for what JSON in UTF-8 cannot carry (RFC 8259 § 4, 6, 8), saying where it stands."""
    if isinstance(value, str):
        try:
            len(value) < BLOCK_BYTES and value.encode()  # longer ones are checked as they are encoded
        except UnicodeEncodeError as error:
            _fail(name, value[error.start], "text without lone surrogates")
    elif isinstance(value, dict):
        for key, item in value.items():
            _check_type("a key of %s" % (name or "the request"), key, (str, int, float, type(None)), "a string")
            _check_json("%s.%s" % (name, key) if name else str(key), item)
    elif isinstance(value, (list, tuple)):
        for position, item in enumerate(value):
            _check_json("%s[%d]" % (name, position), item)
    elif isinstance(value, float):
        if not math.isfinite(value):
            _fail(name, value, "a finite number")
    elif value is not None and not isinstance(value, int):
        _fail(name, value, "JSON (dict, list, str, number, bool or None)", TypeError)


_ENCODE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_MARK = "\0" + binascii.hexlify(os.urandom(16)).decode()  # stands for a long string; no text holds it by chance


class _RequestBody:
    """A request's bytes, made while they are sent: a long string is never copied whole, only slice by slice.

    Iterates as often as a retry wants; ``length`` is the Content-Length.
    """

    def __init__(self, body: _Dict, on_progress: Optional[Callable[[int, int], None]] = None) -> None:
        self._long: List[str] = []
        self._rest = _ENCODE(self._set_aside(body)).split(_ENCODE(_MARK)[1:-1])
        self._on_progress = on_progress
        self.length = 0  # while it is counted
        self.length = sum(map(len, self._pieces()))

    def _set_aside(self, value: Any) -> Any:
        if isinstance(value, str) and len(value) >= BLOCK_BYTES:
            self._long.append(value)
            return _MARK
        if isinstance(value, dict):
            return {key: self._set_aside(item) for key, item in value.items()}
        return [self._set_aside(item) for item in value] if isinstance(value, (list, tuple)) else value

    def _pieces(self) -> Iterator[bytes]:
        for position, text in enumerate(self._rest):
            yield text.encode()
            for start in range(0, len(self._long[position]) if position < len(self._long) else 0, BLOCK_BYTES):
                yield _ENCODE(self._long[position][start:start + BLOCK_BYTES])[1:-1].encode()

    def __iter__(self) -> Iterator[bytes]:
        sent = 0
        for piece in self._pieces():
            yield piece
            sent += len(piece)
            if self._on_progress:
                self._on_progress(sent, self.length)

    def data(self) -> Union[bytes, Iterable[bytes]]:
        """What to hand to http.client: a short body in one piece, so that it leaves with the headers."""
        return self if self._long else b"".join(self._pieces())


# --------------------------------------------------------------------------------- Server-Sent Events


class Event:
    """One event: its ``event`` type, ``data``, last event ``id``, and ``retry`` in milliseconds or ``None``."""

    __slots__ = ("event", "data", "id", "retry")

    def __init__(self, event: str, data: str, id: str = "", retry: Optional[int] = None) -> None:
        self.event, self.data, self.id, self.retry = event, data, id, retry

    def __repr__(self) -> str:
        return "Event(event=%r, data=%r, id=%r, retry=%r)" % (self.event, self.data, self.id, self.retry)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Event) and repr(self) == repr(other)


class SSEParser:
    """Incremental parser of an event stream, as WHATWG HTML § 9.2.6 defines it.

    `feed` takes bytes cut at any place.  Its cost is linear in them: only an unfinished line is kept,
    in a buffer that grows in place, and no byte of it is looked at again before the line ends.
    """

    def __init__(self) -> None:
        self._line = bytearray()  # the unfinished last line
        self._at_start = True     # a byte order mark may still come
        self._after_cr = False    # a line feed at the start of the next bytes belongs to the last line's end
        self._event, self._id = "", ""
        self._data: List[str] = []
        self._retry: Optional[int] = None

    def feed(self, data: bytes) -> List[Event]:
        """The events that *data* completes."""
        if self._at_start:
            data = bytes(self._line) + data
            if len(data) < 3 and b"\xef\xbb\xbf".startswith(data):
                self._line = bytearray(data)
                return []
            self._at_start, self._line = False, bytearray()
            if data.startswith(b"\xef\xbb\xbf"):
                data = data[3:]
        if self._after_cr and data:
            self._after_cr = False
            if data.startswith(b"\n"):
                data = data[1:]
        end = max(data.rfind(b"\n"), data.rfind(b"\r")) + 1
        if not end:
            self._line += data
            return []
        self._after_cr = data.endswith(b"\r")
        # Lines end at ASCII bytes, which are no part of a longer sequence: decoding all at once changes nothing.
        text = (self._line + data[:end]).decode("utf-8", "replace")
        self._line = bytearray(data[end:])
        if "\r" in text:
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        return self._lines(text[:-1].split("\n"))

    def _lines(self, lines: List[str]) -> List[Event]:
        events = []
        for line in lines:
            if line.startswith("data: "):  # nearly every line, and what _field would do with it
                self._data.append(line[6:])
            elif line:
                self._field(line)
            else:
                if self._data:
                    events.append(Event(self._event or "message", "\n".join(self._data), self._id, self._retry))
                    self._data.clear()
                self._event, self._retry = "", None
        return events

    def _field(self, line: str) -> None:
        name, _, value = line.partition(":")
        if value.startswith(" "):
            value = value[1:]
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._event = value
        elif name == "id" and "\0" not in value:
            self._id = value
        elif name == "retry" and re.match(r"[0-9]{1,1000}\Z", value):  # int() refuses, or is slow on, longer ones
            self._retry = int(value)


# --------------------------------------------------------------------------- putting a stream together


class _Pieces(List[str] if TYPE_CHECKING else list):  # type: ignore[misc]
    """A text that is still growing; joined at the end, so that a long answer costs linear time."""


class _Fields(_Dict):
    """An object that is still growing: deltas merged by the rules of the streaming format."""

    # Sent once, or repeated: the first value stands.  Other strings come in pieces.
    WHOLE = frozenset(("id", "type", "name", "role", "tool_call_id", "format", "signature"))
    MAX_DEPTH = 20  # of merging; what lies deeper is taken as it is, so that no answer can exhaust the stack

    def merge(self, delta: _Dict, depth: int = 0) -> None:
        for key, value in delta.items():
            old = self.get(key)
            if value is None:
                self.setdefault(key, None)
            elif isinstance(value, str) and key in self.WHOLE:
                self[key] = old or value
            elif isinstance(value, str):
                if not isinstance(old, _Pieces):
                    old = self[key] = _Pieces()
                old.append(value)
            elif isinstance(value, dict) and depth < self.MAX_DEPTH:
                if not isinstance(old, _Fields):
                    old = self[key] = _Fields()
                old.merge(value, depth + 1)
            elif isinstance(value, list) and depth < self.MAX_DEPTH:
                if not isinstance(old, _Items):
                    old = self[key] = _Items()
                old.merge(value, depth + 1)
            else:
                self[key] = value


class _Items(_List):
    """An array that is still growing: items with an ``index`` are merged by it, others are appended."""

    def __init__(self) -> None:
        super().__init__()
        self._by_index: Dict[int, _Fields] = {}

    def merge(self, items: _List, depth: int) -> None:
        for item in items:
            index = item.get("index") if isinstance(item, dict) else None
            if not isinstance(index, int):
                self.append(item)
                continue
            if index not in self._by_index:
                self._by_index[index] = _Fields()
                self.append(self._by_index[index])
            self._by_index[index].merge(item, depth)


def _settled(value: Any) -> Any:
    """A grown value as plain JSON."""
    if isinstance(value, _Pieces):
        text = "".join(value)  # a server that counts in UTF-16 may cut between the halves of a surrogate pair
        return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    if isinstance(value, _Fields):
        return JSONObject((key, _settled(item)) for key, item in value.items())
    return [_settled(item) for item in value] if isinstance(value, _Items) else value


def _assemble(chunks: Iterable[JSONObject]) -> Completion:
    """The `Completion` that an answer's chunks would have been without streaming.

    Deltas are merged; everything beside them is kept as it was last sent.
    """
    answer = Completion()
    choices: Dict[int, JSONObject] = {}
    growing: Dict[int, _Fields] = {}
    for chunk in chunks:
        for key, value in chunk.items():
            if key != "choices" and (value is not None or key not in answer):
                answer[key] = value
        for choice in chunk.choices or ():
            index = choice.index if isinstance(choice.index, int) else 0
            merged = choices.setdefault(index, JSONObject(index=index, finish_reason=None))
            fields = growing.setdefault(index, _Fields())
            for key, value in choice.items():
                if key in ("delta", "logprobs"):
                    fields.merge({key: value})
                elif value is not None or key not in merged:
                    merged[key] = value
    if answer.object == "chat.completion.chunk":
        answer["object"] = "chat.completion"
    answer["choices"] = [_settled_choice(choices[index], growing[index]) for index in sorted(choices)]
    return answer


def _settled_choice(choice: JSONObject, fields: _Fields) -> JSONObject:
    settled = _settled(fields)
    message = JSONObject(role="assistant", content=None)
    message.update(settled.pop("delta", None) or {})
    for call in message.get("tool_calls") or ():
        if isinstance(call, dict):
            call.pop("index", None)  # of the stream's bookkeeping; whole answers have none
    choice["message"] = message
    choice.update(settled)
    return choice


def _as_chunk(completion: Completion) -> JSONObject:
    """A whole answer as the only chunk of a stream, from a server that does not stream."""
    chunk = JSONObject(completion, object="chat.completion.chunk", choices=[])
    for choice in completion.choices:
        choice = JSONObject(choice)
        delta = choice["delta"] = JSONObject(choice.pop("message", None) or {})
        if isinstance(delta.tool_calls, list):
            delta["tool_calls"] = [JSONObject(call, index=position) if isinstance(call, dict) else call
                                   for position, call in enumerate(delta.tool_calls)]
        chunk.choices.append(choice)
    return chunk


# ------------------------------------------------------------------------------- the transport: framing


class _ChunkedDecoder:
    """The chunked transfer coding (RFC 9112 § 7.1): `feed` takes framed bytes cut at any place and gives the content.

    http.client has one too, which reads chunk by chunk: five times slower with a chunk per token, and
    it takes negative sizes and endless trailers.  ``ended`` after the trailer; ``extra``: bytes followed it.
    """

    MAX_LINE = 8192
    MAX_TRAILERS = 100

    def __init__(self) -> None:
        self.ended = self.extra = False
        self._rest = b""        # an unfinished line
        self._left = 0          # bytes of the current chunk still to come
        self._expected = "size"  # or "content", "line end", "trailer"
        self._trailers = 0

    def feed(self, data: bytes) -> bytes:
        data, at, content = self._rest + data, 0, []
        self._rest = b""
        while at < len(data) and not self.ended:
            if self._expected == "content":
                piece = data[at:at + self._left]
                content.append(piece)
                at += len(piece)
                self._left -= len(piece)
                if not self._left:
                    self._expected = "line end"
                continue
            end = data.find(b"\n", at)
            if end < 0:
                self._rest = data[at:]
                if len(self._rest) > self.MAX_LINE:
                    raise http.client.LineTooLong("chunk size")
                return b"".join(content)
            self._line(data[at:end].rstrip(b"\r"))
            at = end + 1
        self.extra = at < len(data)
        return b"".join(content)

    def _line(self, line: bytes) -> None:
        if self._expected == "size":
            digits = line.partition(b";")[0].strip()
            if not re.match(rb"[0-9A-Fa-f]{1,16}\Z", digits):
                raise http.client.HTTPException("a chunk size is %.40r, not hexadecimal digits" % line)
            self._left = int(digits, 16)
            self._expected = "content" if self._left else "trailer"
        elif self._expected == "line end":
            if line:
                raise http.client.HTTPException("a chunk is longer than its size says")
            self._expected = "size"
        elif line:
            self._trailers += 1
            if self._trailers > self.MAX_TRAILERS:
                raise http.client.HTTPException("more than %d trailers" % self.MAX_TRAILERS)
        else:
            self.ended = True


def _unframed(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """A response's content in blocks, as they arrive.  Raises ``IncompleteRead`` when it is cut short."""
    chunked = _ChunkedDecoder() if response.chunked else None
    left = response.length
    while left != 0 and not (chunked and chunked.ended):
        block = response.fp.read1(BLOCK_BYTES if left is None else min(left, BLOCK_BYTES))
        if not block:
            if chunked or left:
                raise http.client.IncompleteRead(b"", left)
            return
        if left is not None:
            left -= len(block)
        if chunked:
            block = chunked.feed(block)
            response.will_close = response.will_close or chunked.extra
        if block:
            yield block


def _inflated(blocks: Iterable[bytes], coding: str) -> Iterator[bytes]:
    """Blocks in the ``gzip`` or ``deflate`` coding (RFC 9110 § 8.4.1), decoded as they arrive, a bounded block at a time."""
    decoder: Any = None
    for block in blocks:
        while True:
            if decoder is None:  # 47: gzip or zlib, by its header; -15: the bare deflate that some servers send
                decoder = zlib.decompressobj(-15 if coding == "deflate" and block[0] & 0x0F != 8 else 47)
            content = decoder.decompress(block, BLOCK_BYTES)
            if content:
                yield content
            block = decoder.unconsumed_tail
            if decoder.eof:
                block, decoder = decoder.unused_data, None  # gzip may consist of several members
                if not block:
                    break
            elif not block and len(content) < BLOCK_BYTES:
                break
    if decoder is not None:
        raise http.client.IncompleteRead(b"")


def _content(response: http.client.HTTPResponse) -> Iterator[bytes]:
    coding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if coding in ("identity", ""):
        return _unframed(response)
    if coding in ("gzip", "x-gzip", "deflate"):
        return _inflated(_unframed(response), coding)
    raise zlib.error("its Content-Encoding is %r, which was not asked for; gzip and deflate are understood" % coding)


# ---------------------------------------------------------------------------- the transport: connections


_TIMEOUTS = (socket.timeout, TimeoutError)  # one and the same from Python 3.10 on
# ValueError: a file closed by another thread, a host name that IDNA refuses, malformed chunks
_NETWORK_ERRORS = (OSError, http.client.HTTPException, zlib.error, ValueError, AttributeError)


class _Response(http.client.HTTPResponse):
    """Skips interim answers (RFC 9110 § 15.2), of which http.client knows just one, and takes any number."""

    MAX_INTERIM = 20

    def _read_status(self) -> Tuple[str, int, str]:  # type: ignore[misc]
        for _ in range(self.MAX_INTERIM):
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if status >= 200:
                return version, status, reason
            http.client.parse_headers(self.fp)
        raise http.client.HTTPException("more than %d interim answers" % self.MAX_INTERIM)


class _Connection(http.client.HTTPConnection):
    """A connection whose set-up, TLS included, is bounded by a time of its own."""

    response_class = _Response

    def __init__(self, host: str, connect_timeout: Optional[float], context: Optional[ssl.SSLContext]) -> None:
        if context:
            self.default_port = http.client.HTTPS_PORT
        super().__init__(host)
        self._connect_timeout, self._tls = connect_timeout, context
        self._tunnel_host: Optional[str] = None
        self.idle_since = 0.0
        self.last: Optional[_Answer] = None

    def connect(self) -> None:
        goal = "%s:%d" % (self._tunnel_host or self.host, self.port)
        end = None if self._connect_timeout is None else time.monotonic() + self._connect_timeout
        try:
            self.sock = _dial(self.host, self.port, end)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tunnel_host:
                self.sock.settimeout(_time_left(end))
                self._tunnel()  # type: ignore[attr-defined]
            if self._tls:
                self.sock.settimeout(_time_left(end))
                self.sock = self._tls.wrap_socket(self.sock, server_hostname=self._tunnel_host or self.host)
        except _TIMEOUTS as error:
            raise APITimeoutError("no connection to %s within %g s (connect_timeout)" % (
                goal, self._connect_timeout or 0)) from error
        except ssl.SSLCertVerificationError as error:
            raise APIConnectionError(
                "the certificate of %s could not be verified (%s); to trust a company's own authority, name its "
                "certificate in SSL_CERT_FILE or pass ssl_context" % (goal, error.verify_message)) from error

    def is_fresh(self) -> bool:
        """Whether an idle connection can carry another request: its answer is read, and the server has not closed it."""
        last, self.last, read = self.last, None, 0
        if last is None or time.monotonic() - self.idle_since > MAX_IDLE_SECONDS:
            return False
        try:
            self.sock.settimeout(DRAIN_SECONDS)
            while read < DRAIN_BYTES:
                block = last.read()
                if not block:
                    break
                read += len(block)
            last.response.close()
            self.sock.settimeout(0)
            self.sock.recv(1)  # whatever it gives, the end or unasked bytes, the connection is of no use
        except (BlockingIOError, ssl.SSLWantReadError):
            return not last.response.will_close and read < DRAIN_BYTES
        except _NETWORK_ERRORS:
            pass
        return False


def _time_left(end: Optional[float]) -> Optional[float]:
    return None if end is None else max(0.001, end - time.monotonic())


def _dial(host: str, port: int, end: Optional[float]) -> socket.socket:
    """A TCP connection to the first address that takes one; each gets its share of the time that is left."""
    addresses = socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)
    failure: OSError = OSError("no address for %s" % host)
    for position, (family, kind, protocol, _, address) in enumerate(addresses):
        connection = socket.socket(family, kind, protocol)
        try:
            left = _time_left(end)
            connection.settimeout(None if left is None else left / (len(addresses) - position))
            connection.connect(address)
            return connection
        except OSError as error:
            connection.close()
            failure = error
    raise failure


class _Answer:
    """A response and its connection, which goes back to the pool after the last byte and is closed otherwise."""

    def __init__(self, pool: _Pool, key: Any, connection: _Connection, sock: socket.socket,
                 broken: bool = False) -> None:
        self._pool, self._key, self._sock, self._process = pool, key, sock, os.getpid()
        self._owned = [connection]  # taken out by whoever gives it back or closes it: list.pop is atomic
        response: Any = connection.getresponse()
        self.response = response
        response.will_close = response.will_close or broken
        self.status, self.reason, self.headers = response.status, response.reason, response.headers
        self._blocks: Optional[Iterator[bytes]] = None

    def read(self) -> bytes:
        """The next block of content, as it arrives; ``b""`` at the end.  Raises one of ``_NETWORK_ERRORS``."""
        if self._blocks is None:
            self._blocks = _content(self.response)
        return next(self._blocks, b"")

    def release(self) -> None:
        """The answer is complete: keep the connection.  What bytes remain are read when it is next used."""
        try:
            connection = self._owned.pop()
        except IndexError:
            return
        if self.response.will_close:
            self._hang_up(connection)
        else:
            connection.last, connection.idle_since = self, time.monotonic()
            self._pool.put(self._key, connection)

    def close(self) -> None:
        """End the request, even while another thread is blocked in `read`, which then ends."""
        try:
            self._hang_up(self._owned.pop())
        except IndexError:
            pass

    def _hang_up(self, connection: _Connection) -> None:
        if self._process == os.getpid():  # a forked child must not end its parent's request
            try:
                socket.socket.shutdown(self._sock, socket.SHUT_RDWR)  # wakes a blocked reader, as close() would not
            except OSError:
                pass
        self.response.close()
        connection.close()


class _Pool(urllib.request.BaseHandler):
    """urllib's handler of ``http:`` and ``https:`` that keeps connections, where urllib closes each.

    Lock-free (a deque's append and pop are atomic), so that a fork in the midst of a call harms no child.
    """

    def __init__(self, connect_timeout: Optional[float], context: Optional[ssl.SSLContext]) -> None:
        self._connect_timeout, self._context = connect_timeout, context
        self._idle: Deque[Tuple[Any, _Connection]] = collections.deque()
        self._process = os.getpid()

    def http_open(self, request: urllib.request.Request) -> _Answer:
        headers = {name.title(): value for name, value in request.header_items()}
        tunnel = request._tunnel_host  # type: ignore[attr-defined]
        key = (request.type, request.host, tunnel)
        for_proxy = {"Proxy-Authorization": headers.pop("Proxy-Authorization")} if tunnel and (
            "Proxy-Authorization" in headers) else {}
        connection = self._take(key)
        if connection is None:
            connection = _Connection(request.host, self._connect_timeout, self._tls(request.type))
            if tunnel:
                connection.set_tunnel(tunnel, headers=for_proxy)
        try:
            if connection.sock is None:
                connection.connect()
            sock = connection.sock
            sock.settimeout(request.timeout)
            try:
                connection.request("POST", request.selector, request.data, headers)
            except (BrokenPipeError, ConnectionResetError):  # it may have said why before it stopped reading
                return _Answer(self, key, connection, sock, broken=True)
            return _Answer(self, key, connection, sock)
        except BaseException:
            connection.close()
            raise

    https_open = http_open

    def _tls(self, scheme: str) -> Optional[ssl.SSLContext]:
        if scheme == "https" and self._context is None:
            self._context = ssl.create_default_context()  # takes 10 ms or more, so not before it is needed
            self._context.set_alpn_protocols(["http/1.1"])
        return self._context if scheme == "https" else None

    def _take(self, key: Any) -> Optional[_Connection]:
        if self._process != os.getpid():  # a forked child: these sockets are its parent's
            self.clear()
            self._process = os.getpid()
        while True:
            try:
                found, connection = self._idle.pop()
            except IndexError:
                return None
            if found == key and connection.is_fresh():
                return connection
            connection.close()

    def put(self, key: Any, connection: _Connection) -> None:
        if self._process != os.getpid():
            connection.close()
            return
        self._idle.append((key, connection))
        if len(self._idle) > MAX_IDLE_CONNECTIONS:
            self._idle.popleft()[1].close()

    def clear(self) -> None:
        while self._idle:
            self._idle.pop()[1].close()


# -------------------------------------------------------------------------------------------- the client


def _checked_key(key: str) -> str:
    """The key (RFC 6750: visible ASCII), which no message shows.  It may be empty until a call needs it."""
    if not isinstance(key, str):
        raise TypeError("api_key must be a string, not %s" % type(key).__name__)
    if not re.match(r"[!-~]*\Z", key):
        raise ValueError("api_key holds a character that no key has (white space, a control or a non-ASCII character)")
    return key


def _checked_url(url: str) -> str:
    """The base URL without a trailing slash."""
    _check_type("base_url", url, str)
    try:
        parts = urllib.parse.urlsplit(url)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and "@" not in parts.netloc
    except ValueError:
        good = False
    if not good or not re.match(r"[!-~]+\Z", url[len(parts.scheme) + 3 + len(parts.netloc):] + "/") or parts.query or (
            parts.fragment) or re.search(r"[\s\x00-\x1f\\]", parts.netloc):
        shown = re.sub(r"//[^/]*@", "//…@", url)  # a password is no one's business
        _fail("base_url", shown, "http:// or https://, a host and a path, without user, query and fragment")
    return url.rstrip("/")


def _checked_seconds(name: str, value: Optional[float]) -> Optional[float]:
    if value is not None:
        _check_type(name, value, (int, float), "a positive number of seconds, or None")
        if not 0 < value < 1e9:
            _fail(name, value, "a positive number of seconds, or None")
    return value


def _checked_retries(value: int) -> int:
    _check_type("max_retries", value, int, "an integer from 0")
    if value < 0:
        _fail("max_retries", value, "an integer from 0")
    return value


def _checked_headers(name: str, headers: Optional[Mapping[str, str]]) -> Dict[str, str]:
    """A copy.  Values are not shown: they may be secret."""
    checked = dict(headers or {})
    for field, value in checked.items():
        if not isinstance(field, str) or not re.match(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z", field):  # RFC 9110 § 5.6.2
            _fail(name, field, "a mapping whose names are header names")
        if field.lower() in ("content-length", "transfer-encoding"):
            _fail(name, field, "without what frames the request")
        if not isinstance(value, str) or not re.match(r"[\t -~\xa0-\xff]*\Z", value):  # RFC 9110 § 5.5
            raise ValueError("%s[%r] must be a string in Latin-1 without line breaks and controls" % (name, field))
    return checked


class Client:
    """A connection to a chat-completions service, for any number of calls and threads.

    *api_key*, *base_url*, *model*: default to ``SIRAYA_API_KEY``, ``SIRAYA_BASE_URL`` (else
    ``https://llm.siraya.pro/v1``) and ``SIRAYA_MODEL``.  *timeout*: seconds without a byte before giving
    up; *connect_timeout*: seconds to connect (TCP, proxy and TLS together); ``None`` waits for ever.
    *max_retries*: how often a call is repeated after a failure that may pass: no connection, no answer,
    or status 408, 409, 429, 5xx.  *headers*: sent with every request.  *ssl_context*: in place of the
    system's trust store, ``SSL_CERT_FILE`` and ``SSL_CERT_DIR``.  Proxies come from the environment.

    Raises ``ValueError`` or ``TypeError`` for arguments that cannot work.  Safe to share between
    threads, to use after a fork, and to pickle.  ``with Client() as client`` closes its idle connections.
    """

    def __init__(self, api_key: Optional[str] = None, base_url: Optional[str] = None, *, model: Optional[str] = None,
                 timeout: Optional[float] = 600.0, connect_timeout: Optional[float] = 10.0, max_retries: int = 2,
                 headers: Optional[Mapping[str, str]] = None, ssl_context: Optional[ssl.SSLContext] = None) -> None:
        self._api_key = _checked_key(os.environ.get("SIRAYA_API_KEY", "").strip() if api_key is None else api_key)
        self.base_url = _checked_url(base_url or os.environ.get("SIRAYA_BASE_URL") or DEFAULT_BASE_URL)
        self.model = model or os.environ.get("SIRAYA_MODEL") or None
        self.timeout = _checked_seconds("timeout", timeout)
        self.connect_timeout = _checked_seconds("connect_timeout", connect_timeout)
        self.max_retries = _checked_retries(max_retries)
        self.headers = _checked_headers("headers", headers)
        self._ssl_context = ssl_context
        self._warned = False
        self._on_progress: Optional[Callable[[int, int], None]] = None  # bytes sent, of how many: the command line's
        self._connect()

    def _connect(self) -> None:
        self._pool = _Pool(self.connect_timeout, self._ssl_context)
        self._opener = urllib.request.OpenerDirector()  # no handlers of redirects, cookies, files or other schemes
        self._opener.add_handler(urllib.request.ProxyHandler())
        self._opener.add_handler(self._pool)

    @property
    def chat(self) -> _Chat:
        """``client.chat.completions.create(…)``, as in the OpenAI SDK."""
        return _Chat(self)

    def __repr__(self) -> str:
        return "Client(base_url=%r, model=%r)" % (self.base_url, self.model)

    def __getstate__(self) -> _Dict:
        if self._ssl_context is not None:
            raise TypeError("a Client with an ssl_context cannot be pickled; name the certificates in SSL_CERT_FILE")
        return {key: value for key, value in vars(self).items() if key not in ("_pool", "_opener", "_on_progress")}

    def __setstate__(self, state: _Dict) -> None:
        vars(self).update(state, _on_progress=None)
        self._connect()

    def __enter__(self: _Self) -> _Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the idle connections.  The client can be used again."""
        self._pool.clear()

    def __del__(self) -> None:
        if "_pool" in vars(self):  # not when the arguments were refused
            self._pool.clear()

    def complete(self, messages: _Messages, model: Optional[str] = None, **params: Any) -> Completion:
        """The whole answer.  Takes the parameters of `build_request`, and for this call alone
        ``timeout``, ``max_retries``, ``extra_headers`` and ``extra_body``.

        Raises ``ValueError`` or ``TypeError`` before anything is sent, `APIConnectionError`,
        `APIStatusError`, and `ResponseError` for an answer that is no completion.
        """
        answer = self._send(messages, model, False, **params)
        body, failure = _read_whole(answer)
        if failure is None:
            try:
                return _completion(body)
            except ResponseError:
                return _completion(self._without_key(body))  # raises again: an error may quote the body
        text = self._without_key(body).decode("utf-8", "replace")
        if isinstance(failure, (zlib.error, _TooLarge)):
            error: Any = ResponseError("the answer cannot be read: %s" % failure)
        elif isinstance(failure, _TIMEOUTS):
            error = APITimeoutError("the answer stopped: no byte for %g s (timeout)" % (answer.timeout or 0))
        else:
            error = APIConnectionError("the connection was lost within the answer, after %d bytes: %s" % (
                len(body), _describe(failure)))
        error.body = text
        raise error from failure

    def stream(self, messages: _Messages, model: Optional[str] = None, **params: Any) -> Stream:
        """The answer as it is generated, a `Stream`.  Takes and raises what `complete` does; once the
        stream has begun, whatever keeps it from its proper end is a `StreamError`."""
        return Stream(self._send(messages, model, True, **params), self._without_key)

    def _send(self, messages: _Messages, model: Optional[str], stream: bool, *, timeout: Optional[float] = None,
              max_retries: Optional[int] = None, extra_headers: Optional[Mapping[str, str]] = None,
              **params: Any) -> _Answer:
        """Build the request and send it, again if need be; the answer has a status of 2xx."""
        body = build_request(messages, model or self.model, stream=stream, **params)
        seconds = self.timeout if timeout is None else _checked_seconds("timeout", timeout)
        retries = self.max_retries if max_retries is None else _checked_retries(max_retries)
        headers = self._request_headers(stream, _checked_headers("extra_headers", extra_headers))
        content = _RequestBody(body, self._on_progress)
        for attempt in range(retries + 1):
            try:
                answer = self._open(content, headers, seconds)
                if 200 <= answer.status < 300:
                    return answer
                error: SirayaError = self._refusal(answer)
                passing = answer.status in (408, 409, 429) or answer.status >= 500
            except APIConnectionError as failure:
                error, passing = failure, not isinstance(failure.__cause__, ssl.SSLCertVerificationError)
            if not passing or attempt == retries:
                break
            time.sleep(_retry_delay(attempt, getattr(error, "retry_after", None)))
        raise error

    def _request_headers(self, stream: bool, extra: Mapping[str, str]) -> Dict[str, str]:
        headers = {
            "User-Agent": "siraya_chat/" + __version__, "Content-Type": "application/json",
            "Accept": "text/event-stream" if stream else "application/json"}
        if self._api_key:
            headers["Authorization"] = "Bearer " + self._api_key
        for own in (self.headers, extra):
            for name, value in own.items():
                headers[name.title()] = value
        if "Authorization" not in headers:
            raise SirayaError("no API key: set the environment variable SIRAYA_API_KEY or pass Client(api_key=…)")
        host = urllib.parse.urlsplit(self.base_url).hostname or ""
        if not self._warned and self.base_url.startswith("http:") and not re.match(
                r"(localhost|.*\.localhost|127(\.\d+){3}|::1)\Z", host):
            self._warned = True
            warnings.warn("the API key is sent over plain http to %s: everyone on the way can read it" % host, stacklevel=5)
        return headers

    def _open(self, content: _RequestBody, headers: Mapping[str, str], timeout: Optional[float]) -> _Answer:
        """One exchange, up to the answer's headers.  Every failure is an `APIConnectionError`."""
        request = urllib.request.Request(self.base_url + "/chat/completions", content.data(), {
            **headers, "Content-Length": str(content.length)}, method="POST")
        try:
            answer: _Answer = self._opener.open(request, timeout=timeout)  # type: ignore[assignment]
        except _TIMEOUTS as error:
            raise APITimeoutError("no answer from %s: no byte for %g s (timeout)" % (self.base_url, timeout or 0)) from error
        except _NETWORK_ERRORS as error:
            raise APIConnectionError("no answer from %s: %s" % (self.base_url, _describe(error))) from error
        answer.timeout = timeout
        return answer

    def _refusal(self, answer: _Answer) -> APIStatusError:
        body, _ = _read_whole(answer, MAX_ERROR_BODY_BYTES)
        headers = http.client.HTTPMessage()
        for name, value in answer.headers.items():
            headers[name] = self._without_key(value.encode("latin-1", "replace")).decode("latin-1")
        return _status_error(answer.status, self._without_key(answer.reason.encode("latin-1", "replace")).decode("latin-1"),
                             headers, self._without_key(body).decode("utf-8", "replace"))

    def _without_key(self, data: bytes) -> bytes:
        """What a server sent, without the key, which some echo when they refuse it."""
        key = self._api_key.encode()
        return data.replace(key, b"***") if len(key) > 5 else data  # "test" is no secret, but part of words


class _Chat:
    """The OpenAI SDK's door: ``client.chat.completions.create(…)``."""

    def __init__(self, client: Client) -> None:
        self._client = client

    @property
    def completions(self) -> _Chat:
        return self

    if TYPE_CHECKING:
        @overload
        def create(self, *, messages: _Messages, model: Optional[str] = None, stream: Literal[True], **params: Any) -> Stream: ...
        @overload
        def create(self, *, messages: _Messages, model: Optional[str] = None, stream: Literal[False] = False,
                   **params: Any) -> Completion: ...
        @overload
        def create(self, *, messages: _Messages, model: Optional[str] = None, stream: bool,
                   **params: Any) -> Union[Completion, Stream]: ...

    def create(self, *, messages: _Messages, model: Optional[str] = None, stream: Optional[bool] = False,
               **params: Any) -> Union[Completion, Stream]:
        """`Client.stream` with ``stream=True``, `Client.complete` without."""
        if stream is not None:
            _check_type("stream", stream, bool)
        return (self._client.stream if stream else self._client.complete)(messages, model, **params)


class _TooLarge(Exception):
    """An answer of more than MAX_BODY_BYTES."""


def _read_whole(answer: _Answer, limit: int = MAX_BODY_BYTES) -> Tuple[bytes, Optional[BaseException]]:
    """An answer's content, and what kept it from being whole, if anything did."""
    blocks, size = [], 0
    try:
        while size <= limit:
            block = answer.read()
            if not block:
                answer.release()
                return b"".join(blocks), None
            blocks.append(block)
            size += len(block)
        failure: BaseException = _TooLarge("it is larger than %d bytes" % limit)
    except _NETWORK_ERRORS as error:
        failure = error
    except BaseException:
        answer.close()
        raise
    answer.close()
    return b"".join(blocks), failure


def _describe(error: BaseException) -> str:
    return "%s (%s)" % (error, type(error).__name__) if str(error) else type(error).__name__


class Stream:
    """An answer as it is generated: iterates, also with ``async for``, over its chunks (`JSONObject`).

    The end of the loop means that the answer is complete; if it is cut short in any way, `StreamError` is
    raised after the last chunk that arrived.  Leaving ``with``, `close` (also from another thread) and
    dropping the stream end the request.  For one consumer at a time.
    """

    def __init__(self, answer: _Answer, without_key: Callable[[bytes], bytes]) -> None:
        self._answer, self._without_key = answer, without_key
        self._state = "open"  # then "complete", "failed" or "closed"
        self._failure = ("the stream was closed before its end", None)
        self._parser = SSEParser()
        self._events: Deque[Event] = collections.deque()  # arrived, not yet taken
        self._taken: List[str] = []  # the chunks taken, as text: parsed again when the whole is asked for
        self._size = self._unfinished = 0  # bytes in all, and since the last event

    def __iter__(self) -> Iterator[JSONObject]:
        while self._wait():
            yield from self._arrived()

    def __next__(self) -> JSONObject:
        return next(iter(self))

    async def __aiter__(self) -> AsyncIterator[JSONObject]:
        import asyncio
        from concurrent.futures import ThreadPoolExecutor
        thread = ThreadPoolExecutor(1)  # its own: asyncio's shared threads are few, and a stream blocks one for long
        try:
            while await asyncio.get_running_loop().run_in_executor(thread, self._wait):
                for chunk in self._arrived():
                    yield chunk
        except asyncio.CancelledError:
            self.close()
            raise
        finally:
            thread.shutdown(wait=False)

    def __enter__(self: _Self) -> _Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __del__(self) -> None:
        if "_state" in vars(self):
            self.close()

    def close(self) -> None:
        """End the request at the server, from any thread; a loop over the stream ends.  What had arrived can still be read."""
        if self._state == "open":
            self._state = "closed"
            self._answer.close()

    @property
    def text_stream(self) -> Iterator[str]:
        """The pieces of the first choice's text, as they arrive."""
        for chunk in self:
            for choice in chunk.choices or ():
                text = choice.delta.content if choice.delta and not choice.index else None
                if text and isinstance(text, str):
                    yield text

    def get_final_completion(self) -> Completion:
        """Wait for the rest, and give the `Completion` that the answer would have been without streaming.

        Raises `StreamError`, with what there is in ``.partial``, if the stream did not reach its end.
        """
        for _ in self:
            pass
        if self._state != "complete":
            raise self._error()
        return self._assembled()

    def _assembled(self) -> Completion:
        return _assemble(map(_DECODER.decode, self._taken))

    def _error(self) -> StreamError:
        message, body = self._failure
        error = StreamError(message, self._assembled())
        error.body = body
        return error

    def _arrived(self) -> Iterator[JSONObject]:
        """The chunks that are here already."""
        events, taken = self._events, self._taken
        while events:
            event = events.popleft()
            data = event.data
            try:
                chunk, end = _SCAN(data, 0)
            except (StopIteration, ValueError, RecursionError):
                end = -1
            if end != len(data) or event.event == "error" or _problem(chunk, "delta"):
                chunk = self._unusual(event)  # raises for what is no chunk
                if chunk is None:
                    return
            taken.append(data)
            yield chunk

    def _unusual(self, event: Event) -> Optional[JSONObject]:
        """A chunk amid white space; ``None`` for [DONE]; anything else ends the stream."""
        data = event.data.strip()
        if data.startswith("[DONE]"):
            self._events.clear()  # what comes after it is no part of the answer
            self._state = "complete"
            self._answer.release()
            return None
        data = self._without_key(data.encode("utf-8", "surrogatepass")).decode("utf-8", "replace")
        body: Any = data
        try:
            body = _DECODER.decode(data)
            problem = _problem(body, "delta") or ("it is an error: " + (_error_text(body) or data) if event.event == "error" else "")
        except RecursionError:
            problem = "it is nested too deeply"
        except ValueError as error:
            problem = "it is not JSON (%s): %.200r" % (error, data)
        if problem:
            self._fail("the stream broke off at an event that is no chunk: " + problem, body)
            raise self._error()
        return JSONObject(body)

    def _wait(self) -> bool:
        """Wait until a chunk is here.  False at the end of a complete or closed stream; raises at that of a failed one."""
        while not self._events:
            if self._state == "failed":
                raise self._error()
            if self._state != "open":
                return False
            try:
                media_type = self._answer.headers.get_content_type() if "Content-Type" in self._answer.headers else ""
                if media_type in ("application/json", "text/html"):
                    self._read_document(media_type)
                else:
                    self._read_block()
            except _NETWORK_ERRORS as error:
                self._end(_describe(error) if not isinstance(error, _TIMEOUTS) else "no byte for %g s (timeout)" % (
                    self._answer.timeout or 0))
        return True

    def _read_block(self) -> None:
        block = self._answer.read()
        events = self._parser.feed(block)
        self._events.extend(events)
        self._size += len(block)
        self._unfinished = 0 if events else self._unfinished + len(block)
        if self._size > MAX_BODY_BYTES or self._unfinished > MAX_EVENT_BYTES:
            self._fail("the stream is larger than %d bytes, or an event than %d" % (MAX_BODY_BYTES, MAX_EVENT_BYTES))
        elif not block:
            self._end("the server closed it")

    def _read_document(self, media_type: str) -> None:
        """What answers in place of a stream: the whole answer from a server that does not stream, or a proxy's page."""
        body, failure = _read_whole(self._answer)
        if failure is not None:
            return self._fail("the answer cannot be read: " + _describe(failure), body.decode("utf-8", "replace"))
        try:
            if media_type == "text/html":
                raise ValueError("the answer is an HTML page, not an event stream: %.200r" % body.decode("utf-8", "replace"))
            chunk = _ENCODE(_as_chunk(_completion(body)))
            self._events.extend((Event("message", chunk), Event("message", "[DONE]")))
        except (ResponseError, ValueError, RecursionError) as error:
            text = self._without_key(body).decode("utf-8", "replace")
            self._fail(str(error), text)

    def _end(self, reason: str) -> None:
        """No more will come.  It was all if [DONE] stands in the unterminated last event, or every choice has finished."""
        if self._state != "open":
            return  # closed from another thread
        last = self._parser.feed(b"\n\n")
        choices = self._assembled().choices
        if (last and last[-1].data.strip() == "[DONE]") or (choices and all(c.finish_reason for c in choices)):
            self._state = "complete"
            self._answer.close()
        else:
            self._fail("the stream ended before its answer did: " + reason)

    def _fail(self, message: str, body: Any = None) -> None:
        self._state, self._failure = "failed", (message, body)
        self._answer.close()


_SCAN = _DECODER.scan_once  # what decode() calls, without its search for white space around each chunk


# ------------------------------------------------------------------------------------- the command line


_EXAMPLES = """\
examples:
  python -m siraya_chat "What is the meaning of life?"
  git diff | python -m siraya_chat -s "You are a strict reviewer." "Review this."
  python -m siraya_chat -a invoice.pdf --schema '{"type": "object"}' "Extract the total."
  python -m siraya_chat -c -m openai/gpt-4o -o temperature=0.2

environment:
  SIRAYA_API_KEY    the key (there is no option for it: other users can see a command line)
  SIRAYA_BASE_URL   default %s
  SIRAYA_MODEL      default %s
  https_proxy, no_proxy, SSL_CERT_FILE, SSL_CERT_DIR as everywhere

exit status: 0 done, 1 the service or the network failed, 2 usage, 130 interrupted""" % (DEFAULT_BASE_URL, DEFAULT_MODEL)


def _argument_parser() -> Any:
    import argparse
    parser = argparse.ArgumentParser(
        prog="siraya-chat", description="Ask a model: prompt words, standard input, attachments; the answer to standard output.",
        epilog=_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("prompt", nargs="*", help="the prompt; piped standard input is added to it")
    add("-m", "--model", default=os.environ.get("SIRAYA_MODEL") or DEFAULT_MODEL, help="default: %(default)s")
    add("-s", "--system", metavar="TEXT", help="system message")
    add("-a", "--attach", metavar="FILE_OR_URL", action="append", default=[], help="attach an image, PDF, audio, video, text…; repeatable")
    add("-o", "--option", metavar="KEY=VALUE", action="append", default=[], help="any request parameter; VALUE is JSON or else a string; repeatable")
    add("--schema", metavar="FILE_OR_JSON", help="structured output by this JSON Schema")
    add("--no-stream", action="store_true", help="wait for the whole answer")
    add("-j", "--json", action="store_true", help="print the response as JSON; streamed: one chunk a line")
    add("-u", "--usage", action="store_true", help="print tokens, and cost where given, on standard error")
    add("-c", "--chat", action="store_true", help="a conversation: a line is a turn, Ctrl-C stops an answer, Ctrl-D ends")
    add("-n", "--dry-run", action="store_true", help="print the request body and send nothing")
    add("--base-url", metavar="URL", help="default: $SIRAYA_BASE_URL or %s" % DEFAULT_BASE_URL)
    add("--timeout", metavar="SECONDS", type=float, default=600.0, help="give up after so long without a byte; default: 600")
    add("--version", action="version", version="siraya_chat " + __version__)
    return parser


class _CommandLine:
    """Translates between a person and the library."""

    def __init__(self, options: Any) -> None:
        self.options = options
        self.params = self._params()
        self.client: Any = None
        self.arrived = ""  # of the answer that is being printed

    def run(self) -> int:
        options = self.options
        parts = [attach(source) for source in options.attach]
        history = [system(options.system)] if options.system is not None else []
        if not options.dry_run:
            self.client = Client(base_url=options.base_url, timeout=options.timeout)
        if options.chat:
            return self._chat(history, parts)
        prompt = "\n\n".join(filter(None, (" ".join(options.prompt), self._piped())))
        if not prompt and not parts:
            raise ValueError("no prompt: give some words, pipe a text, or start a conversation with -c")
        history.append(user(*filter(None, [prompt]), *parts) if parts else user(prompt))
        if options.dry_run:
            body = build_request(history, options.model, stream=not options.no_stream, **self.params)
            print(json.dumps(body, indent=2, ensure_ascii=False))
        else:
            self._turn(history)
        return 0

    def _params(self) -> _Dict:
        options, params = self.options, {}
        for option in options.option:
            key, separator, value = option.partition("=")
            if not separator or not key or key in ("model", "messages", "stream"):
                raise ValueError("-o takes KEY=VALUE with a request parameter that has no option of its own, not %r" % option)
            try:
                params[key] = json.loads(value)
            except ValueError:
                params[key] = value
        if options.schema is not None:
            text = options.schema
            if not text.lstrip().startswith("{"):
                with open(text, encoding="utf-8") as file:
                    text = file.read()
            try:
                params["response_format"] = json_schema(json.loads(text))
            except json.JSONDecodeError as error:
                raise ValueError("--schema is not JSON: %s" % error) from None
        if options.usage and not options.no_stream:
            params.setdefault("stream_options", {"include_usage": True})
        return params

    @staticmethod
    def _piped() -> str:
        return "" if sys.stdin is None or sys.stdin.isatty() else sys.stdin.read().strip("\n")

    def _turn(self, messages: _List) -> Completion:
        """Send, print the answer as it comes, and give it back whole."""
        self.arrived = ""
        options = self.options
        with _Waiting() as waiting:
            self.client._on_progress = waiting.progress
            try:
                if options.no_stream:
                    completion = self.client.complete(messages, options.model, **self.params)
                    waiting.stop()
                    self._print(json.dumps(completion, ensure_ascii=False) if options.json else completion.text)
                else:
                    with self.client.stream(messages, options.model, **self.params) as stream:
                        for piece in (map(_json_line, stream) if options.json else stream.text_stream):
                            waiting.stop()
                            self._print(piece)
                        completion = stream.get_final_completion()
            finally:
                if self.arrived and not self.arrived.endswith("\n"):
                    self._print("\n")
        if options.usage:
            print(_usage(completion), file=sys.stderr)
        return completion

    def _print(self, text: str) -> None:
        self.arrived += text
        # An answer must not drive the terminal; a pipe gets it as it is.
        sys.stdout.write(re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", "", text) if sys.stdout.isatty() else text)
        sys.stdout.flush()

    def _chat(self, history: _List, parts: _List) -> int:
        options, status = self.options, 0
        if options.dry_run:
            raise ValueError("-n does not go with -c")
        interactive = sys.stdin is not None and sys.stdin.isatty()
        if interactive:
            try:
                import readline  # noqa: F401  gives input() its line editing and history
            except ImportError:
                pass
        line = " ".join(options.prompt)
        while True:
            try:
                line = line or self._next_line(interactive)
                if line.strip():
                    turn = user(line, *parts)
                    history += [turn, self._turn(history + [turn]).message or assistant(self.arrived)]
                    parts = []
            except KeyboardInterrupt:
                print(file=sys.stderr)
                if line.strip() and self.arrived:  # the person saw it, and may refer to it
                    history += [turn, assistant(self.arrived)]
                    parts = []
            except EOFError:
                if interactive:
                    print(file=sys.stderr)
                return status
            except SirayaError as error:
                _report(error)
                status = 0 if interactive else 1
            line = ""

    @staticmethod
    def _next_line(interactive: bool) -> str:
        if interactive and sys.stdout.isatty():
            return input("> ")
        if interactive:
            print("> ", end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline() if sys.stdin else ""
        if not line:
            raise EOFError
        return line.rstrip("\n")


def _json_line(chunk: JSONObject) -> str:
    return json.dumps(chunk, ensure_ascii=False) + "\n"


def _usage(completion: Completion) -> str:
    usage = completion.usage or JSONObject()
    cost = completion.cost if completion.cost is not None else usage.cost
    return "tokens: %s prompt, %s completion, %s total%s" % (
        usage.prompt_tokens, usage.completion_tokens, usage.total_tokens, "" if cost is None else "; cost: %s" % cost)


def _report(error: BaseException) -> None:
    print("siraya-chat: %s" % error, file=sys.stderr)


class _Waiting:
    """A sign of life on a terminal's standard error until the first text comes."""

    def __init__(self) -> None:
        self._thread: Any = None
        self._sent = self._total = 0

    def __enter__(self) -> _Waiting:
        if sys.stderr is not None and sys.stderr.isatty():
            import threading
            self._stopped = threading.Event()
            self._thread = threading.Thread(target=self._show, daemon=True)
            self._thread.start()
        return self

    def progress(self, sent: int, total: int) -> None:
        self._sent, self._total = sent, total

    def _show(self) -> None:
        begin = time.monotonic()
        while not self._stopped.wait(0.1):
            text = "waiting, %d s" % (time.monotonic() - begin)
            if self._sent < self._total and self._total > 1 << 20:
                text = "sending %.1f MB, %d %%" % (self._total / 1e6, 100 * self._sent // self._total)
            sys.stderr.write("\r\x1b[K" + text)
            sys.stderr.flush()

    def stop(self) -> None:
        if self._thread is not None:
            self._stopped.set()
            self._thread.join()
            self._thread = None
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def __exit__(self, *exception: object) -> None:
        self.stop()


def main(argv: Optional[Sequence[str]] = None) -> int:
    """The command line: takes its arguments (default: ``sys.argv[1:]``) and returns the exit status."""
    try:
        options = _argument_parser().parse_args(argv)
    except SystemExit as stop:
        return int(stop.code or 0)
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    warnings.showwarning = lambda message, *_, **__: _report(message)  # type: ignore[assignment, arg-type]
    try:
        return _CommandLine(options).run()
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader has had enough, as in … | head; nothing more may be written, not even at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (SirayaError, ValueError, TypeError, OSError) as error:
        _report(error)
        return 1 if isinstance(error, SirayaError) and type(error) is not SirayaError else 2


if __name__ == "__main__":
    sys.exit(main())
