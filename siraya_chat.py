"""Chat completions from Python where nothing may be installed.

One file, standard library only, CPython 3.7 and later, for the Siraya Model Router and servers with the same format.
It reads from top to bottom.  Copy it beside your program, vendor it, or run it:

    from siraya_chat import Client
    with Client().stream("Tell me a story.", model="anthropic/claude-sonnet-4.5") as stream:  # needs SIRAYA_API_KEY
        for piece in stream.text_stream:
            print(piece, end="", flush=True)

    $ python -m siraya_chat "What is the meaning of life?"

SPDX-License-Identifier: MIT
"""

from __future__ import annotations

import binascii
import collections
import contextlib
import email.utils
import functools
import http.client
import io
import itertools
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

TYPE_CHECKING = False  # type checkers take it for true: hints cost nothing at run time
if TYPE_CHECKING:
    from typing import (
        Any,
        AsyncIterator,
        BinaryIO,
        Callable,
        Iterable,
        Iterator,
        Literal,
        Mapping,
        Sequence,
        overload,
    )

    _Messages = str | Sequence[Mapping[str, Any]]
    _Source = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO
__version__ = "1.0.0"
__all__ = [
    "Client",
    "Stream",
    "Completion",
    "JSONObject",
    "build_request",
    "json_schema",
    "system",
    "user",
    "assistant",
    "tool_result",
    "image",
    "pdf",
    "audio",
    "video",
    "attach",
    "SSEParser",
    "Event",
    "main",
    "SirayaError",
    "APIConnectionError",
    "APITimeoutError",
    "APIStatusError",
    "BadRequestError",
    "AuthenticationError",
    "PaymentRequiredError",
    "PermissionDeniedError",
    "NotFoundError",
    "RateLimitError",
    "InternalServerError",
    "ResponseError",
    "StreamError",
]
DEFAULT_BASE_URL = "https://llm.siraya.pro/v1"
DEFAULT_MODEL = (
    "anthropic/claude-sonnet-4.5"  # of the command line; the library has none
)
MAX_BODY_BYTES, MAX_ERROR_BODY_BYTES = (
    128 << 20,
    1 << 20,
)  # some 400,000 streamed tokens; far more than anyone reads
MAX_EVENT_BYTES = (
    64 << 20
)  # of a stream without a complete event: an image inside one takes a few MiB
MAX_LINE_BYTES, MAX_LINES = (
    64 << 10,
    100,
)  # of HTTP's own framing: what http.client allows for headers
MAX_MESSAGE_LENGTH = (
    1000  # characters of an error's message: some servers answer with whole pages
)
MIN_BACKOFF, MAX_BACKOFF, MAX_RETRY_AFTER = (
    0.5,
    8.0,
    60.0,
)  # seconds; who asks for more gets our own backoff
MAX_IDLE_CONNECTIONS, MAX_IDLE_SECONDS = (
    32,
    30.0,
)  # firewalls drop silent connections after a minute or so
DRAIN_SECONDS = 0.1  # for the few bytes after [DONE], before a connection is used again
BLOCK_BYTES = 64 << 10  # read or written at once


# ------------------------------------------------------------------------------------------------------ errors
class SirayaError(Exception):
    """The base of all errors.  ``str(error)``: a line of bounded length, fit for a terminal; ``body``: what came."""

    def __init__(self, message: str = "", body: Any = None) -> None:
        message = " ".join(
            re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", " ", message[:9999]).split()
        )
        super().__init__(
            message
            if len(message) <= MAX_MESSAGE_LENGTH
            else message[: MAX_MESSAGE_LENGTH - 1] + "\u2026"
        )
        self.body = body


class APIConnectionError(SirayaError):
    """The service was not reached, or the connection failed: DNS, TCP, proxy, TLS or HTTP."""


class APITimeoutError(APIConnectionError):
    """Connecting took ``connect_timeout`` seconds, or no byte moved for ``timeout`` seconds."""


class APIStatusError(SirayaError):
    """The service answered with a status other than 2xx.  ``body``: its JSON, or else its text; ``code``, ``type``,
    ``param``: of the error object in it; ``headers``: a case-insensitive mapping; ``retry_after``: seconds to wait."""

    def __init__(
        self,
        message: str = "",
        body: Any = None,
        status_code: int = 0,
        headers: Any = None,
    ) -> None:
        super().__init__(message, body)
        error = body.get("error", body) if isinstance(body, dict) else None
        fields = error if isinstance(error, dict) else {}
        self.code, self.type, self.param = map(fields.get, ("code", "type", "param"))
        self.status_code, self.headers = status_code, headers or {}
        self.request_id, self.retry_after = (
            self.headers.get("x-request-id"),
            _retry_after(self.headers),
        )


class BadRequestError(APIStatusError):
    """400: the request is malformed, or not one for this model."""


class AuthenticationError(APIStatusError):
    """401: the key is missing or wrong."""


class PaymentRequiredError(APIStatusError):
    """402: the balance is too low."""


class PermissionDeniedError(APIStatusError):
    """403: blocked by moderation or region."""


class NotFoundError(APIStatusError):
    """404: no such model or path."""


class RateLimitError(APIStatusError):
    """429: too many requests."""


class InternalServerError(APIStatusError):
    """5xx: trouble at the service or at the model's provider."""


class ResponseError(SirayaError):
    """The answer is not what the API promises: not JSON, an error in its place, too large.  ``body``: what it is."""


class StreamError(ResponseError):
    """The stream ended before the answer did: an error event, truncation, a malformed chunk, a lost connection.
    ``partial``: the `Completion` so far; no complete event is lost."""

    def __init__(
        self, message: str = "", body: Any = None, partial: Completion | None = None
    ) -> None:
        super().__init__(message, body)
        self.partial = Completion(choices=[]) if partial is None else partial


def _status_error(status: int, reason: str, headers: Any, text: str) -> APIStatusError:
    try:
        body = json.loads(text)
        said = _error_text(body) or text
    except (ValueError, RecursionError):  # a proxy's page
        body, said = (
            text,
            re.sub(
                r"<(style|script)\b.*?</\1>|<[^>]*>",
                " ",
                text[:9999],
                flags=re.S | re.I,
            ).strip(),
        )
    if 300 <= status < 400 and "Location" in headers:
        said = (
            "it points to %r; redirects are not followed: set base_url to where the API is"
            % headers.get("Location")
        )
    kind = {
        400: BadRequestError,
        401: AuthenticationError,
        402: PaymentRequiredError,
        403: PermissionDeniedError,
        404: NotFoundError,
        429: RateLimitError,
    }.get(status, InternalServerError if status >= 500 else APIStatusError)
    return kind(
        "HTTP %d %s%s" % (status, reason, ": " + said if said else ""),
        body,
        status,
        headers,
    )


def _error_text(body: Any) -> str:
    """The sentence in an error body: ``{"error": {"message": …}}``, or one of the other shapes that are seen."""
    while isinstance(body, dict):
        body = next(
            (body[key] for key in ("error", "message", "detail") if body.get(key)), ""
        )
    return body if isinstance(body, str) else ""


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait by ``retry-after-ms``, or else by ``Retry-After`` (RFC 9110 § 10.2.3); ``None`` if not said."""
    for name, unit in (("retry-after-ms", 0.001), ("Retry-After", 1.0)):
        value = headers.get(name, "")
        with contextlib.suppress(TypeError, ValueError, OverflowError, IndexError):
            if re.match(r"\s*[\d.]{1,20}\s*\Z", value):
                return float(value) * unit
            return max(
                0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time()
            )
    return None


def _retry_delay(attempt: int, retry_after: float | None = None) -> float:
    """Seconds before retry number *attempt*, from 0: what the server asked for, or a random part of a doubling span."""
    if retry_after is not None and retry_after <= MAX_RETRY_AFTER:
        return retry_after
    return random.uniform(
        MIN_BACKOFF, min(MAX_BACKOFF, MIN_BACKOFF * 2.0 ** min(attempt + 1, 10))
    )


# ----------------------------------------------------------------------------------- the data that comes back
class JSONObject(dict):  # type: ignore[type-arg]
    """A JSON object of an answer: a plain ``dict`` whose keys read as attributes too, at any depth.
    A field that the API defines reads as ``None`` where it lacks; any other name that is no key raises
    ``AttributeError``.  A key that is named like a method of ``dict`` is read as ``object["items"]``."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        if name in self and not name.startswith(
            "__"
        ):  # copy and pickle ask for dunder names
            return self[name]
        raise AttributeError(
            "%r is no field of this %s, which has: %s"
            % (name, type(self).__name__, list(self))
        )


# Properties made of C: reading chunk.choices[0].delta.content takes a fifth of what __getattr__ would.
for _name in """id object created model choices usage system_fingerprint service_tier provider cost cost_details error
        index message delta finish_reason native_finish_reason logprobs role content refusal reasoning reasoning_content
        reasoning_details annotations images audio tool_calls function_call type function name arguments
        prompt_tokens completion_tokens total_tokens prompt_tokens_details completion_tokens_details cached_tokens
        reasoning_tokens audio_tokens accepted_prediction_tokens rejected_prediction_tokens token bytes logprob
        top_logprobs url_citation start_index end_index title url data transcript expires_at code param""".split():
    setattr(JSONObject, _name, property(operator.methodcaller("get", _name), doc=""))
_DECODER: Any = json.JSONDecoder(object_hook=JSONObject)


class Completion(JSONObject):
    """A whole answer, however it came, with short ways to its first choice."""

    __slots__ = ()

    @property
    def message(self) -> Any:
        """The first choice's message, ready to be appended to ``messages``; ``None`` if there is no choice."""
        return self.choices[0].message if self.choices else None

    @property
    def text(self) -> str:
        """The first choice's content; ``""`` if it has none."""
        content = self.message.content if self.message else None
        return content if isinstance(content, str) else ""

    @property
    def tool_calls(self) -> list[Any]:
        """The first choice's tool calls; an empty list if it has none."""
        calls = self.message.tool_calls if self.message else None
        return calls if isinstance(calls, list) else []

    @property
    def finish_reason(self) -> Any:
        """Why the first choice ended: ``"stop"``, ``"length"``, ``"tool_calls"`` …; ``None`` if not said."""
        return self.choices[0].finish_reason if self.choices else None

    def json(self) -> Any:
        """The text parsed as JSON; `ResponseError`, with the text as ``body``, if it is not JSON."""
        try:
            return _DECODER.decode(self.text)
        except (ValueError, RecursionError) as error:
            raise ResponseError(
                "the text is not JSON (%s): %.200r" % (error, self.text), self.text
            ) from None


def _parse(text: str, holder: str) -> Completion:
    """A whole answer, whose *holder* of content is ``"message"``, or a chunk (``"delta"``); else `ResponseError`."""
    value: Any = text
    try:
        value = _DECODER.decode(text.lstrip("\ufeff"))
        if isinstance(value, JSONObject) and value.error:
            raise TypeError("it is an error: " + (_error_text(value) or text))
        choices = "choices" if holder == "message" else "choices?"
        return Completion(_checked("it", value, {choices: [{holder + "?": {}}]}))
    except (TypeError, ValueError, RecursionError) as error:
        quoted = ": %.200r" % text if isinstance(error, json.JSONDecodeError) else ""
        raise ResponseError(
            "this is no chat completion (%s)%s" % (error, quoted), value
        ) from None


# ------------------------------------------------------------------------------- messages and attachments
def system(text: str) -> dict[str, Any]:
    """A system message: instructions for the whole conversation."""
    return {"role": "system", "content": _checked("text", text, str)}


def user(*parts: str | dict[str, Any]) -> dict[str, Any]:
    """A user message: one text, or texts and parts (`image`, `pdf`, `audio`, `video`, `attach`) in any order."""
    content = [
        {"type": "text", "text": one}
        if isinstance(one, str)
        else _checked("part", one, {})
        for one in parts
    ]
    if not content:
        raise ValueError("user() needs a text or a part")
    return {
        "role": "user",
        "content": parts[0]
        if len(parts) == 1 and isinstance(parts[0], str)
        else content,
    }


def assistant(text: str) -> dict[str, Any]:
    """An assistant message: what the model said, or is to be taken to have said."""
    return {"role": "assistant", "content": _checked("text", text, str)}


def tool_result(
    tool_call_id: str, content: str | list[dict[str, Any]]
) -> dict[str, Any]:
    """The message that answers a tool call: the call's ``id``, and the result as text (of a structure: JSON)."""
    return {
        "role": "tool",
        "tool_call_id": _checked("tool_call_id", tool_call_id, str),
        "content": _checked("content", content, (str, [{}])),
    }


def image(
    source: _Source, *, detail: str | None = None, media_type: str | None = None
) -> dict[str, Any]:
    """An image part: PNG, JPEG, GIF or WebP.  *detail*: ``"auto"``, ``"low"`` or ``"high"``.
    *source*, here and in the other helpers: a path, bytes, an open binary file, or an ``http(s):`` or ``data:`` URL,
    which is never fetched.  *media_type* overrules what the content or else the name says.  Raises ``OSError`` for what
    cannot be read, ``ValueError`` or ``TypeError`` for what the part cannot hold."""
    return _part("image", source, media_type=media_type, detail=detail)


def pdf(
    source: _Source, *, filename: str | None = None, media_type: str | None = None
) -> dict[str, Any]:
    """A PDF part.  *source*: see `image`.  *filename*: what the model is told; default: the source's own."""
    return _part("pdf", source, media_type=media_type, filename=filename)


def audio(
    source: _Source, *, format: str | None = None, media_type: str | None = None
) -> dict[str, Any]:
    """An audio part: WAV or MP3, no ``http(s):`` URL.  *source*: see `image`.  *format*: ``"wav"`` or ``"mp3"``."""
    return _part("audio", source, media_type=media_type, format=format)


def video(source: _Source, *, media_type: str | None = None) -> dict[str, Any]:
    """A video part: MP4, MPEG, QuickTime or WebM.  *source*: see `image`."""
    return _part("video", source, media_type=media_type)


def attach(source: _Source, *, media_type: str | None = None) -> dict[str, Any]:
    """The part that fits *source* (see `image`): image, PDF, audio, video, document, or a text part that names it."""
    return _part("attach", source, media_type=media_type)


_ACCEPTED = {  # media types by kind of part
    "image": "image/png image/jpeg image/gif image/webp",
    "video": "video/mp4 video/mpeg video/quicktime video/webm",
    "audio": "audio/wav audio/mpeg audio/mp3 audio/x-wav audio/wave audio/vnd.wave",
    "pdf": "application/pdf",
}
_OPENXML, _OPENDOCUMENT = (
    "application/vnd.openxmlformats-officedocument.",
    "application/vnd.oasis.opendocument.",
)
_TYPES = dict(  # media types by the ending of a name: the system's table differs from machine to machine
    png="image/png",
    jpg="image/jpeg",
    jpeg="image/jpeg",
    gif="image/gif",
    webp="image/webp",
    avif="image/avif",
    heic="image/heic",
    pdf="application/pdf",
    wav="audio/wav",
    mp3="audio/mpeg",
    m4a="audio/mp4",
    mp4="video/mp4",
    m4v="video/mp4",
    mov="video/quicktime",
    mpg="video/mpeg",
    mpeg="video/mpeg",
    webm="video/webm",
    mkv="video/x-matroska",
    odt=_OPENDOCUMENT + "text",
    ods=_OPENDOCUMENT + "spreadsheet",
    odp=_OPENDOCUMENT + "presentation",
    docx=_OPENXML + "wordprocessingml.document",
    doc="application/msword",
    xlsx=_OPENXML + "spreadsheetml.sheet",
    xls="application/vnd.ms-excel",
    ppt="application/vnd.ms-powerpoint",
    pptx=_OPENXML + "presentationml.presentation",
    epub="application/epub+zip",
    rtf="application/rtf",
)
_SIGNATURE = re.compile(
    rb"""(?P<png>\x89PNG\r\n\x1a\n) | (?P<jpg>\xff\xd8\xff) | (?P<gif>GIF8[79]a) | (?P<pdf>%PDF-)
    | RIFF....(?:(?P<webp>WEBP) | (?P<wav>WAVE)) | (?P<mpg>\x00\x00\x01[\xba\xb3])
    | (?P<mp3>ID3[\x02-\x04] | \xff[\xe2\xe3\xf2\xf3\xfa\xfb][\x00-\xef])  # a tag, or a frame header of layer III
    | \x00...ftyp(?:(?P<avif>avi[fs]) | (?P<heic>hei|hev|mif1|msf1) | (?P<m4a>M4[AB]) | (?P<mp4>(?!qt)))
    | (?P<mov>\x00...(?:ftyp|moov|wide)|....mdat) | \x1a\x45\xdf\xa3(?:(?P<webm>.{0,60}webm)|(?P<mkv>))""",
    re.S | re.X,
)


def _part(helper: str, source: Any, **options: Any) -> dict[str, Any]:
    """The part for a source, once it is known what that is and that the helper takes it."""
    _checked(
        "",
        options,
        {
            "media_type?": re.compile(r"[\w.+-]+/[\w.+-]+"),
            "format?": {"wav", "mp3"},
            "detail?": {"auto", "low", "high"},
            "filename?": str,
        },
    )
    name, link, claim, data = _opened(helper, source)
    label = "%s: %s" % (helper, repr(name) if name else "the source")
    if not link and not data:
        raise ValueError(label + " is empty")
    given = (
        "audio/" + options["format"] if options.get("format") else options["media_type"]
    )
    signature = _SIGNATURE.match(b"" if claim else binascii.a2b_base64(data[:128]))
    ending = signature.lastgroup if signature else os.path.splitext(name)[1][1:].lower()
    # Nothing is fetched: where a link's ending does not tell, the helper's word has to do.
    kind = (
        given
        or claim
        or _TYPES.get(ending or "")
        or _ACCEPTED.get(helper if link else "", "").partition(" ")[0]
    )
    if helper == "attach" and data and (not kind or kind.startswith("text/")):
        text = binascii.a2b_base64(data).decode("utf-8-sig", "surrogateescape")
        if not re.search("[\0\udc80-\udcff]", text):  # it is UTF-8 without NUL
            return {
                "type": "text",
                "text": "<file name=%s>\n%s\n</file>" % (_ENCODE(name or "text"), text),
            }
    family = "pdf" if kind == "application/pdf" else kind.partition("/")[0]
    takes = _ACCEPTED.get(family if helper == "attach" else helper, kind).split()
    if link and "audio" in (helper, family):
        raise ValueError(
            label + " is a URL, but the API takes audio as data only: download it first"
        )
    if (
        not kind
        or kind not in takes
        and not (
            given and family in ("image", "video") and helper in ("attach", family)
        )
    ):
        wrong = (
            "%s; the API takes %s" % (kind, ", ".join(takes))
            if kind
            else "of no known type"
        )
        raise ValueError(
            "%s is %s (media_type=, as in media_type='image/png', overrules that)"
            % (label, wrong)
        )
    if family == "audio":
        return {
            "type": "input_audio",
            "input_audio": {"data": data, "format": "wav" if "wav" in kind else "mp3"},
        }
    url = link or "data:%s;base64,%s" % (kind, data)
    if family in ("image", "video"):
        detail = {"detail": options["detail"]} if options.get("detail") else {}
        return {"type": family + "_url", family + "_url": {"url": url, **detail}}
    name = (
        options.get("filename")
        or name
        or "document." + next((end for end in _TYPES if _TYPES[end] == kind), "bin")
    )
    return {"type": "file", "file": {"filename": name, "file_data": url}}


def _opened(helper: str, source: Any) -> tuple[str, str, str, str]:
    """A source's name, its URL if it lies elsewhere, the type that it claims, and its content in base64."""
    if isinstance(source, str) and re.match(r"https?:", source, re.I):
        return (
            urllib.parse.unquote(urllib.parse.urlsplit(source).path.rpartition("/")[2]),
            source,
            "",
            "",
        )
    if isinstance(source, str) and source[:5].lower() == "data:":
        head, _, data = source.partition(",")
        if (
            not head.lower().endswith(";base64")
            or len(data) % 4
            or not re.match(r"[A-Za-z0-9+/]*={0,2}\Z", data)
        ):
            raise ValueError(
                "%s: a data: URL must read data:TYPE/SUBTYPE;base64,…, not %.60r"
                % (helper, source)
            )
        return "", "", head[5:].partition(";")[0].lower(), data
    if isinstance(source, (str, os.PathLike)):
        if os.path.isdir(source):
            raise ValueError(
                "%s: %r is a directory, not a file" % (helper, os.fspath(source))
            )
        with open(source, "rb") as file:
            return _opened(helper, file)
    name, read = getattr(source, "name", ""), getattr(source, "read", None)
    if read and isinstance(read(0), bytes):  # not a file in text mode
        source = b"".join(
            iter(read, b"")
        )  # to the end: raw files and pipes may read short
    try:
        content = memoryview(source).cast("B")
    except TypeError:
        raise TypeError(
            "%s: the source must be a path, bytes, a file opened in binary mode or a URL, not %s"
            % (helper, type(source).__name__)
        ) from None
    size, coded = 3 * BLOCK_BYTES, io.BytesIO()
    coded.writelines(
        binascii.b2a_base64(content[at : at + size], newline=False)
        for at in range(0, len(content), size)
    )
    del (
        source,
        content,
    )  # before the data are copied, so that the peak is 2.7 times the size
    return (
        os.path.basename(os.fsdecode(name)) if type(name) in (str, bytes) else "",
        "",
        "",
        coded.getvalue().decode(),
    )


# ------------------------------------------------------------------------------------- building a request
# Rules, as data: a type; a number of a kind from low to high; a set of strings; a pattern; [rule] for the items of
# an array; {field: rule} for an object, where "field?" may be missing and others pass; (rule for a string, for others).
_Number = collections.namedtuple("_Number", "kind low high")
_FUNCTION = {
    "type": {"function"},
    "function": {
        "name": re.compile(".+"),
        "description?": str,
        "parameters?": {},
        "strict?": bool,
    },
}
_FORMATS: dict[str, Any] = {
    "json": {"schema?": {}, "name?": str, "description?": str},
    "json_object": {},
    "text": {},
    "json_schema": {
        "json_schema": {
            "name": re.compile("[A-Za-z0-9_-]{1,64}"),
            "schema": {},
            "strict?": bool,
            "description?": str,
        }
    },
}
_SECONDS, _COUNT = _Number(float, 0.001, 1e6), _Number(int, 0, math.inf)
_REQUEST: dict[str, Any] = {
    "model": re.compile(".+"),
    "stream?": bool,
    "stop?": (str, [str]),
    "max_tokens?": _Number(int, 1, math.inf),
    "temperature?": _Number(float, 0, 2),
    "top_p?": _Number(float, 0, 1),
    "frequency_penalty?": _Number(float, -2, 2),
    "presence_penalty?": _Number(float, -2, 2),
    "response_format?": {"type": set(_FORMATS)},
    "tools?": [_FUNCTION],
    "tool_choice?": ({"auto", "none", "required"}, _FUNCTION),
    "provider?": {
        "sort?": {"price", "throughput", "latency"},
        "allow_fallbacks?": bool,
    },
    "messages": [
        {
            "role": {"system", "developer", "user", "assistant", "tool"},
            "content?": (str, [{"type": str}]),
        }
    ],
}


def _checked(name: str, value: Any, rule: Any) -> Any:
    """The value, if it keeps to the rule; else a ``ValueError`` or ``TypeError`` that says what is allowed."""
    either, given = "", type(value)
    if type(rule) is tuple:
        rule, either = (
            (rule[0], "") if issubclass(given, str) else (rule[1], "a string or ")
        )
    kind: Any = type(rule)
    types: Any = (
        (int, rule.kind)
        if kind is _Number
        else {list: (list, tuple), dict: dict, type: rule}.get(kind, str)
    )
    fits = right_type = issubclass(given, types) and (
        given is not bool or kind is type
    )  # a bool is no number
    if right_type and kind is list:
        for position, item in enumerate(value):
            _checked("%s[%d]" % (name, position), item, rule[0])
    elif right_type and kind is dict:
        for field, inner in rule.items():
            item = value.get(field.rstrip("?"))
            if item is not None:
                _checked((name + "." + field).strip(".?"), item, inner)
            elif not field.endswith("?"):
                raise ValueError(
                    "%s needs %r, which is missing or empty"
                    % (name or "the request", field)
                )
    elif right_type and kind is not type:
        fits = (
            value in rule
            if kind is set
            else rule.fullmatch(value) is not None
            if kind is re.Pattern
            else rule.low <= value <= rule.high
        )  # false for NaN
    if fits:
        return value
    allowed = (
        "one of " + ", ".join(map(repr, sorted(rule)))
        if kind is set
        else "a string like " + rule.pattern
        if kind is re.Pattern
        else "%s from %g to %g"
        % ("an integer" if rule.kind is int else "a number", *rule[1:])
        if kind is _Number
        else {
            list: "a list",
            dict: "a dict",
            str: "a string",
            bool: "True or False",
        }.get(rule if kind is type else kind, "an ssl.SSLContext")
    )
    raise (ValueError if right_type else TypeError)(
        "%s must be %s%s, not %.200r" % (name, either, allowed, value)
    )


def json_schema(
    schema: Mapping[str, Any],
    name: str = "response",
    *,
    strict: bool = True,
    description: str | None = None,
) -> dict[str, Any]:
    """A ``response_format`` that binds the answer to a JSON Schema.  *name*: 1 to 64 of ``A-Z a-z 0-9 _ -``."""
    form = {
        "name": name,
        "schema": schema,
        "strict": strict,
        "description": description,
    }
    _checked("json_schema()", {"json_schema": form}, _FORMATS["json_schema"])
    return {
        "type": "json_schema",
        "json_schema": {key: value for key, value in form.items() if value is not None},
    }


def build_request(
    messages: _Messages,
    model: str | None,
    *,
    stream: bool = False,
    temperature: float | None = None,
    max_tokens: int | None = None,
    top_p: float | None = None,
    frequency_penalty: float | None = None,
    presence_penalty: float | None = None,
    stop: str | Sequence[str] | None = None,
    tools: Sequence[Mapping[str, Any]] | None = None,
    tool_choice: str | Mapping[str, Any] | None = None,
    provider: Mapping[str, Any] | None = None,
    response_format: Mapping[str, Any] | None = None,
    extra_body: Mapping[str, Any] | None = None,
    **params: Any,
) -> dict[str, Any]:
    """The JSON body of a request, a new plain dict.  The arguments are checked, and never changed.
    *messages*: a str (one user message) or message dicts.  *temperature*: 0 to 2.  *max_tokens*: from 1.  *top_p*: 0 to
    1.  *frequency_penalty*, *presence_penalty*: -2 to 2.  *stop*: a text or several.  *tools*: function definitions.
    *tool_choice*: ``"auto"``, ``"none"``, ``"required"`` or one function.  *provider*: routing: ``{"sort": "price"}``.
    *response_format*: see `json_schema`.  Any other parameter is sent as it is; ``None`` means "not sent", except in
    *extra_body*, which is merged in last.  Raises ``ValueError`` or ``TypeError``."""
    _checked("messages", messages, (str, [{}]))
    body: dict[str, Any] = dict(
        model=model,
        messages=[user(messages)]
        if isinstance(messages, str)
        else list(messages) or None,
        stream=None if stream is False else stream,
        temperature=temperature,
        max_tokens=max_tokens,
        top_p=top_p,
        frequency_penalty=frequency_penalty,
        presence_penalty=presence_penalty,
        stop=stop,
        tools=tools,
        tool_choice=tool_choice,
        provider=provider,
        response_format=response_format,
        **params,
    )
    body = _checked(
        "", {name: value for name, value in body.items() if value is not None}, _REQUEST
    )
    if response_format is not None:
        _checked("response_format", response_format, _FORMATS[response_format["type"]])
    for position, message in enumerate(body["messages"]):
        if message.get("content") is None and message["role"] != "assistant":
            raise ValueError("messages[%d] needs a 'content'" % position)
    body.update(_checked("extra_body", extra_body or {}, {}))
    try:
        _portable("request", body, [])
    except RecursionError:
        raise ValueError(
            "the request is nested too deeply, or contains itself"
        ) from None
    return body


def _portable(name: str, value: Any, long: list[str]) -> Any:
    """The value with its long strings moved to *long*; raises for what JSON cannot hold (RFC 8259 § 4, 6, 8.1)."""
    if isinstance(value, str):
        if not value.isascii() and re.search("[\ud800-\udfff]", value):
            raise ValueError("%s holds half a surrogate pair: no text" % name)
        if len(value) > BLOCK_BYTES:
            long.append(value)
            return _MARK
    elif isinstance(value, dict):
        for key in value:
            if not isinstance(key, (str, int, float, type(None))):
                raise TypeError("a name in %s must be a string, not %r" % (name, key))
            _portable("a name in " + name, key, [])
        return {
            key: _portable("%s.%s" % (name, key), item, long)
            for key, item in value.items()
        }
    elif isinstance(value, (list, tuple)):
        return [
            _portable("%s[%d]" % (name, position), item, long)
            for position, item in enumerate(value)
        ]
    elif value is not None and not isinstance(value, int):
        right_type = isinstance(value, float)
        if not right_type or not math.isfinite(value):
            raise (ValueError if right_type else TypeError)(
                "%s must be JSON (dict, list, str, finite number, bool or None), not %.200r"
                % (name, value)
            )
    return value


_ENCODE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_UNESCAPED = bytes(
    set(range(0x20, 0x100)) - set(b'"\\')
)  # what a JSON string carries as it is (RFC 8259 § 7)
_MARK = "\ud800"  # stands for a long string; no text can hold it


class _RequestBody:
    """A request's bytes, made while they are sent, anew for each try: a long string is escaped slice by slice, never
    copied whole.  ``length`` is the Content-Length; ``progress`` is called with the bytes sent and that length."""

    def __init__(self, body: dict[str, Any]) -> None:
        long: list[str] = []
        rest = _ENCODE(_portable("request", body, long)).split(_MARK)
        self.texts = [
            text for pair in zip(rest, [*long, ""]) for text in pair
        ]  # every second one is a long string
        self.length = sum(map(len, self.pieces()))

    def pieces(
        self, progress: Callable[[int, int], None] | None = None
    ) -> Iterator[bytes]:
        sent = 0
        for position, text in enumerate(self.texts):
            for start in range(0, len(text), BLOCK_BYTES):
                content = text[start : start + BLOCK_BYTES].encode()
                if position % 2 and content.translate(
                    None, _UNESCAPED
                ):  # base64 has nothing to escape: a fast look
                    content = _ENCODE(content.decode())[1:-1].encode()
                yield content
                sent += len(content)
                if progress:
                    progress(sent, self.length)


# ------------------------------------------------------------------------------------- Server-Sent Events
Event = collections.namedtuple("Event", "event data id retry")
Event.__doc__ = "An event's type, its data, the last event id, and its own retry time in milliseconds or ``None``."


class SSEParser:
    """An incremental parser of event streams, as WHATWG HTML § 9.2.6 defines them, for bytes cut at any place.
    The cost is linear: an unfinished line waits in a buffer that grows in place, and is looked at once it has ended."""

    def __init__(self) -> None:
        self._line, self._coding = (
            bytearray(),
            "utf-8-sig",
        )  # at the very start a byte order mark may come
        self._after_cr = (
            False  # a line feed that comes next belongs to the last line's end
        )
        self._type = self._id = ""
        self._data: list[str] = []
        self._retry: int | None = None

    def feed(self, data: bytes) -> list[Event]:
        """The events that *data* completes."""
        return [Event(*fields) for fields in self._feed(data)]

    def _feed(self, data: bytes) -> list[tuple[str, str, str, int | None]]:
        events: list[tuple[str, str, str, int | None]] = []
        if self._after_cr:
            data, self._after_cr = data[data.startswith(b"\n") :], not data
        if self._line or not data.endswith(
            b"\n"
        ):  # a line lacks its beginning, or perhaps its end
            end = max(data.rfind(b"\n"), data.rfind(b"\r")) + 1
            if not end:
                self._line += data
                return events
            self._after_cr = data.endswith(b"\r")
            data, self._line = b"".join((self._line, data[:end])), bytearray(data[end:])
        text, self._coding = (
            data.decode(self._coding, "replace"),
            "utf-8",
        )  # whole lines: no character is cut
        if "\r" in text:
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        # Most text is events of one data line each, as a count of its line ends shows: one split finds them all.
        if (
            text.startswith("data: ")
            and not self._data
            and not self._type
            and self._retry is None
        ):
            found = text[6:-2].split("\n\ndata: ")
            if text.count("\n") == 2 * len(found) and text.endswith("\n\n"):
                for value in found:
                    events.append(("message", value, self._id, None))
                return events
        for line in text[:-1].split("\n"):
            name, _, value = line.partition(":")
            value = value[1:] if value.startswith(" ") else value
            if name == "data":
                self._data.append(value)
            elif name == "event":
                self._type = value
            elif name == "id" and "\0" not in value:
                self._id = value
            elif name == "retry" and re.match(
                r"[0-9]{1,1000}\Z", value
            ):  # int() is slow, or refuses more
                self._retry = int(value)
            elif not line:
                if self._data:
                    events.append(
                        (
                            self._type or "message",
                            "\n".join(self._data),
                            self._id,
                            self._retry,
                        )
                    )
                self._type, self._retry, self._data = "", None, []
        return events


# ------------------------------------------------------------------------------ putting a stream together
def _merged(
    key: str, values: Iterable[Any], grows: bool = False, depth: int = 0
) -> Any:
    """What a field's values in successive chunks make: in deltas and log probabilities they grow (strings are joined,
    objects and arrays merged), choices are merged by index; all else, and what lies very deep, is kept as last sent."""
    values, grows = (
        [value for value in values if value is not None],
        grows or key in ("delta", "logprobs"),
    )
    last: Any = values[-1] if values else None
    if (
        not grows
        and key not in ("", "choices")
        or isinstance(last, (int, float, type(None)))
        or depth == 20
    ):
        return last
    if key in (
        "id",
        "type",
        "name",
        "role",
        "tool_call_id",
        "format",
        "signature",
    ):  # strings not sent in pieces
        return next(filter(None, values), last)
    alike = (value for value in values if isinstance(value, type(last)))
    parts: collections.defaultdict[Any, list[Any]] = collections.defaultdict(list)
    if isinstance(last, dict):
        for name, item in (field for value in alike for field in value.items()):
            parts[name].append(item)
        return JSONObject(
            (name, _merged(name, items, grows, depth + 1))
            for name, items in parts.items()
            if (key, name) != ("tool_calls", "index")
        )  # which is of the stream alone
    if isinstance(last, list):
        for item in (item for value in alike for item in value):
            index = (
                item.get("index", None if grows else 0)
                if isinstance(item, dict)
                else None
            )
            parts[
                index if isinstance(index, int) else len(parts) + 1e9 if grows else 0
            ].append(item)
        return [_merged(key, parts[index], grows, depth + 1) for index in sorted(parts)]
    return (
        "".join(alike)
        .encode("utf-16", "surrogatepass")
        .decode("utf-16", "surrogatepass")
    )  # a pair may come in two


def _assemble(chunks: Iterable[JSONObject]) -> Completion:
    """The `Completion` that these chunks' answer would have been without streaming."""
    answer = Completion(
        _merged("", [JSONObject(choices=[]), *chunks]), object="chat.completion"
    )
    for choice in answer.choices:
        message = JSONObject({"content": None, **(choice.pop("delta", None) or {})})
        message["role"] = message.role or "assistant"
        choice.update({"index": 0, "finish_reason": None, **choice, "message": message})
    return answer


# ------------------------------------------------------------------------------------------ the transport
_TIMEOUT_ERRORS = (socket.timeout, TimeoutError)  # one and the same from Python 3.10 on
_NETWORK_ERRORS = (
    OSError,
    http.client.HTTPException,
    zlib.error,
    ResponseError,
    ValueError,
    AttributeError,
)  # of a file or a connection that another thread has closed
_CHUNK_HEAD = re.compile(
    rb"\r?\n([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\n]*)?\r?\n"
).match  # behind the end of the last chunk


def _request_head(line: str, headers: Mapping[str, str]) -> bytes:
    return "".join(
        [line, " HTTP/1.1\r\n", *map("%s: %s\r\n".__mod__, headers.items()), "\r\n"]
    ).encode("latin-1")


def _read_head(file: Any) -> tuple[int, str, http.client.HTTPMessage, bool]:
    """An answer's status, reason and headers, and whether its connection may be kept (RFC 9112 § 4, 5, 9.3).
    http.client takes four times as long, skips interim answers (RFC 9110 § 15.2) for ever, and takes half a head."""
    lines = itertools.islice(
        iter(lambda: file.readline(MAX_LINE_BYTES), b""), 2 * MAX_LINES
    )
    for line in lines:
        found, headers = (
            re.match(rb"HTTP/1\.([01]) ([1-9]\d\d)\b ?([^\r\n]*)\r?\n", line),
            http.client.HTTPMessage(),
        )
        for line in lines if found else ():
            name, colon, value = line.decode("latin-1").partition(":")
            if colon and name[:1] not in " \t":
                headers[name.strip()] = value.strip()
            elif (
                name[:1] not in " \t"
            ):  # nor a folded line (RFC 9112 § 5.2): nothing here needs the rest of its value
                break
        if not found or line not in (b"\r\n", b"\n"):
            raise http.client.HTTPException(
                "the answer's head is cut short or malformed: %.100r" % line
            )
        if found.group(2) >= b"200":
            keep = (
                found.group(1) == b"1"
                and "close" not in headers.get("Connection", "").lower()
            )
            return int(found.group(2)), found.group(3).decode("latin-1"), headers, keep
    raise http.client.RemoteDisconnected("the connection ended without an answer")


def _content(
    file: Any, status: int, headers: http.client.HTTPMessage
) -> Iterator[bytes]:
    """An answer's content, as it arrives (RFC 9112 § 6.3): a block, perhaps an empty one, for each reading."""
    length, transfer = (
        headers.get("Content-Length", ""),
        headers.get("Transfer-Encoding", "").lower(),
    )
    if transfer not in ("", "chunked") or not re.match(r"\d{0,18}\Z", length):
        raise http.client.HTTPException(
            "its Content-Length is %r, its Transfer-Encoding %r" % (length, transfer)
        )
    left = (
        0
        if status in (204, 304)
        else int(length)
        if length and not transfer
        else math.inf
    )
    blocks = _dechunked(file) if transfer and left else _sized(file, left)
    coding = headers.get("Content-Encoding", "").strip().lower()
    return blocks if coding in ("", "identity") else _inflated(blocks, coding)


def _sized(file: Any, left: float) -> Iterator[bytes]:
    """Content of a known length, or, for infinity, up to the connection's end."""
    for block in iter(lambda: file.read1(min(left, BLOCK_BYTES)), b""):
        left -= len(block)
        yield block
    if 0 < left < math.inf:
        raise ConnectionError("its last %d bytes are missing" % left)


def _dechunked(file: Any) -> Iterator[bytes]:
    """Content in the chunked coding (RFC 9112 § 7.1): all that one read brings is decoded at once.
    http.client reads each chunk by itself, which is slow with a chunk a token, and takes negative sizes."""
    data, left, size = b"\n", 0, 1  # as if a chunk had just ended
    for block in iter(file.read1, b""):
        data, at, pieces = data + block, 0, []
        head = _CHUNK_HEAD(data, left) if size else None
        while head:
            pieces.append(data[at : head.start()])
            at, size = head.end(), int(head.group(1), 16)
            left, head = (
                size,
                _CHUNK_HEAD(data, at + size)
                if size and len(data) > at + size + 2
                else None,
            )
        pieces.append(data[at : at + left])
        data, left = data[at + left :], left - len(pieces[-1])
        yield b"".join(pieces)
        end = not size and re.match(
            rb"(?:[^\r\n][^\n]*\n)*\r?\n", data
        )  # trailers, if any, and the end
        if end:
            file.close() if end.end() < len(
                data
            ) else None  # what nobody asked for spoils the connection
            return
        if (
            len(data) > MAX_LINE_BYTES or size and b"\n" in data[2:]
        ):  # a whole line, but no head
            raise http.client.HTTPException("its chunks are malformed: %.60r" % data)
    raise ConnectionError("its last chunk is missing or incomplete")


def _inflated(blocks: Iterable[bytes], coding: str) -> Iterator[bytes]:
    """Content in the ``gzip`` or ``deflate`` coding (RFC 9110 § 8.4.1), the latter perhaps bare, little at a time."""
    decoder, content = None, b""
    if coding not in ("gzip", "x-gzip", "deflate"):
        raise ResponseError(
            "its Content-Encoding is %r, which nobody asked for" % coding
        )
    for block in blocks:
        yield b""
        while block or len(content) == BLOCK_BYTES:
            if not decoder or decoder.eof and block:  # gzip may have several members
                decoder = zlib.decompressobj(
                    -15 if coding == "deflate" and block[0] & 15 != 8 else 47
                )  # -15: bare
            content = decoder.decompress(block, BLOCK_BYTES)
            yield content
            block = decoder.unused_data or decoder.unconsumed_tail
    if decoder and not decoder.eof:
        raise ConnectionError("its compressed content is incomplete")


class _Connection:
    """A connection, and of the exchange that it carries or carried last: status, reason, headers, blocks of content."""

    def __init__(self, pool: _Pool, key: tuple[str, str, str | None, int]) -> None:
        self.pool, self.key = pool, key
        self.socket: Any = None
        self.file: Any = None

    def connect(self, proxy_headers: Mapping[str, str]) -> None:
        """Reach the server: DNS, and within ``connect_timeout`` TCP, the proxy's CONNECT (RFC 9110 § 9.3.6), TLS."""
        scheme, host, tunnel, _ = self.key
        place, end = (
            urllib.parse.urlsplit("//" + host),
            time.monotonic() + (self.pool.connect_timeout or 1e6),
        )

        def left(shares: int = 1) -> float:
            return max(0.001, (end - time.monotonic()) / shares)

        port = place.port or (443 if scheme == "https" else 80)
        addresses: Any = socket.getaddrinfo(place.hostname, port, 0, socket.SOCK_STREAM)
        while not self.socket:
            with contextlib.suppress(
                *[OSError] if addresses[1:] else ()
            ):  # while there is another one to try
                self.socket = socket.create_connection(
                    addresses.pop(0)[4][:2], left(len(addresses) + 1)
                )
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.settimeout(left())
        if tunnel:
            place = urllib.parse.urlsplit("//" + tunnel)
            authority = tunnel if place.port else tunnel + ":443"
            self.socket.sendall(
                _request_head(
                    "CONNECT " + authority, {"Host": authority, **proxy_headers}
                )
            )
            with self.socket.makefile("rb") as answer:
                status, reason, _, _ = _read_head(answer)
            if status >= 300:
                raise OSError("the proxy refused the tunnel: %d %s" % (status, reason))
            self.socket.settimeout(left())
        if scheme == "https":
            self.pool.context = (
                self.pool.context or ssl.create_default_context()
            )  # 10 ms and more: only when needed
            self.socket = self.pool.context.wrap_socket(
                self.socket, server_hostname=place.hostname
            )
        raw: Any = (
            io.RawIOBase()
        )  # made of C; makefile()'s is not, and would read "nothing yet" as the end
        raw.readinto, raw.readable = self.socket.recv_into, lambda: True
        self.file = io.BufferedReader(
            raw, 32 << 10
        )  # a reading's size: 8 KiB and 64 KiB were slower

    def exchange(self, request: urllib.request.Request) -> None:
        """Send a request, its head and body in one packet to save the server a wake-up; read its answer's head."""
        pieces = request.data.pieces(self.pool.progress)  # type: ignore[union-attr]
        self.socket.settimeout(request.timeout)
        with contextlib.suppress(
            ConnectionError
        ):  # who refuses a request need not read all of it, and may say why
            self.socket.sendall(
                _request_head("POST " + request.selector, request.headers)
                + next(pieces)
            )
            for piece in pieces:
                self.socket.sendall(piece)
        self.status, self.reason, self.headers, self.keep = _read_head(self.file)
        self.blocks, self.timeout = (
            _content(self.file, self.status, self.headers),
            request.timeout,
        )
        self.left = MAX_BODY_BYTES if self.status < 300 else MAX_ERROR_BODY_BYTES

    def read(self) -> bytes | None:
        """The next block of content, as it arrives, perhaps empty; ``None`` at the end.  Raises ``_NETWORK_ERRORS``."""
        try:
            block = next(self.blocks, None)
            self.left -= len(block or b"")
            if self.left < 0:
                raise ResponseError("it is larger than %d bytes" % MAX_BODY_BYTES)
            return block
        except BaseException:
            self.close()
            raise

    def read_all(self) -> tuple[str, Exception | None]:
        """The content, and what kept it from being whole, if anything did."""
        content = bytearray()
        try:
            for block in iter(self.read, None):
                content += block
            self.release()
        except _NETWORK_ERRORS as error:
            return content.decode("utf-8", "replace"), error.with_traceback(
                None
            )  # which would hold the request
        return content.decode("utf-8", "replace"), None

    def release(self) -> None:
        """The answer is complete: keep the connection.  What follows [DONE] is read when it is used again."""
        self.idle_since = time.monotonic()
        self.pool.idle.append(self) if self.keep else self.close()

    def is_fresh(self) -> bool:
        """Whether another request can go out: little was left to read, and the server neither closed nor sent more."""
        try:
            self.socket.settimeout(DRAIN_SECONDS)
            if time.monotonic() - self.idle_since < MAX_IDLE_SECONDS and any(
                next(self.blocks, None) is None for _ in range(4)
            ):  # a reading each
                self.socket.settimeout(0)
                self.file.peek(1)
        except _NETWORK_ERRORS as error:
            return isinstance(
                error, (BlockingIOError, ssl.SSLWantReadError)
            )  # open and silent
        return False

    def close(self) -> None:
        """End the exchange, even while another thread is blocked in `read`."""
        with contextlib.suppress(
            OSError, TypeError, AttributeError
        ):  # it may not be connected
            if (
                self.key[-1] != os.getpid()
            ):  # a forked child must not end what its parent has begun
                return os.close(self.socket.detach())
            socket.socket.shutdown(
                self.socket, socket.SHUT_RDWR
            )  # wakes a blocked reader, as TLS's own would not
        for opened in filter(None, (self.file, self.socket)):
            with contextlib.suppress(
                RuntimeError
            ):  # of a signal's handler that closes what it interrupts
                opened.close()

    __del__ = close


class _Pool(urllib.request.BaseHandler):
    """urllib's handler of ``http:`` and ``https:``, but one that keeps connections, where urllib closes each."""

    def __init__(
        self, connect_timeout: float | None, context: ssl.SSLContext | None
    ) -> None:
        self.connect_timeout, self.context = connect_timeout, context
        self.progress: Callable[[int, int], None] | None = (
            None  # of sending a body; the command line shows it
        )
        # There is no lock, since a deque's methods are atomic: a fork at any moment leaves nothing locked.
        self.idle: collections.deque[_Connection] = collections.deque(
            maxlen=MAX_IDLE_CONNECTIONS
        )
        opener = (
            urllib.request.OpenerDirector()
        )  # without redirects, cookies, passwords, files and other schemes
        opener.add_handler(urllib.request.ProxyHandler())
        opener.add_handler(self)  # and is our parent from now on

    def http_open(self, request: urllib.request.Request) -> _Connection:
        tunnel: str | None = request._tunnel_host  # type: ignore[attr-defined]
        password = request.headers.pop("Proxy-authorization", "") if tunnel else ""
        key = (
            request.type,
            request.host,
            tunnel,
            os.getpid(),
        )  # a forked child has connections of its own
        try:
            connection = next(
                kept
                for kept in iter(self.idle.pop, None)
                if kept.key == key and kept.is_fresh()
            )
        except IndexError:  # there is none, or no more
            connection = _Connection(self, key)
        try:
            if not connection.file:
                connection.connect(
                    {"Proxy-Authorization": password} if password else {}
                )
            connection.exchange(request)
        except BaseException as error:
            connection.close()
            if isinstance(error, _TIMEOUT_ERRORS) and not connection.file:
                raise APITimeoutError(
                    "no connection to %s within %s s (connect_timeout)"
                    % (tunnel or request.host, self.connect_timeout)
                ) from error
            raise
        return connection

    https_open = http_open


def _describe(error: BaseException, timeout: float | None) -> str:
    if isinstance(error, _TIMEOUT_ERRORS):
        return "no byte for %s s (timeout)" % timeout
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            "its certificate could not be verified (%s); to trust a company's own authority, name its certificate "
            "in SSL_CERT_FILE or pass an ssl_context" % error.verify_message
        )
    return "%s (%s)" % (
        re.sub(r"[^\s/'\"]+@", "…@", str(error)),
        type(error).__name__,
    )  # hides a proxy's password


# --------------------------------------------------------------------------------------------- the client
class Client:
    """A chat-completions service, for any number of threads and forked processes; picklable without *ssl_context*.
    *api_key*, *base_url*, *model* default to ``SIRAYA_API_KEY``, ``SIRAYA_BASE_URL`` (or https://llm.siraya.pro/v1) and
    ``SIRAYA_MODEL``.  *timeout*: seconds without a byte, *connect_timeout*: seconds to connect, proxy and TLS included,
    before giving up; ``None``: never.  *max_retries*: how often a call is repeated after what may pass: no connection,
    no answer, status 408, 409, 429, 5xx.  *headers* go with every request.  *ssl_context* takes the place of the
    system's trust store, ``SSL_CERT_FILE`` and ``SSL_CERT_DIR``.  Proxies are taken from the environment."""

    def __init__(
        self,
        api_key: str | None = None,
        base_url: str | None = None,
        *,
        model: str | None = None,
        timeout: float | None = 600.0,
        connect_timeout: float | None = 10.0,
        max_retries: int = 2,
        headers: Mapping[str, str] | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._api_key = (
            os.environ.get("SIRAYA_API_KEY", "").strip() if api_key is None else api_key
        )
        if not isinstance(self._api_key, str) or not re.match(
            r"[!-~]*\Z", self._api_key
        ):
            raise ValueError(
                "api_key (SIRAYA_API_KEY) must be visible ASCII characters (it is not shown here)"
            )
        self.base_url = _checked_url(
            base_url or os.environ.get("SIRAYA_BASE_URL") or DEFAULT_BASE_URL
        )
        self.model = model or os.environ.get("SIRAYA_MODEL")
        self.timeout, self.connect_timeout, self.ssl_context = (
            timeout,
            connect_timeout,
            ssl_context,
        )
        _checked(
            "",
            vars(self),
            {
                "timeout?": _SECONDS,
                "connect_timeout?": _SECONDS,
                "ssl_context?": ssl.SSLContext,
            },
        )
        self.max_retries = _checked("max_retries", max_retries, _COUNT)
        self.headers = _checked_headers("headers", headers)
        self._pool, self._warned = _Pool(connect_timeout, ssl_context), False

    def __reduce__(self) -> Any:
        names = (
            "base_url",
            "model",
            "timeout",
            "connect_timeout",
            "max_retries",
            "headers",
            "ssl_context",
        )
        return functools.partial(
            type(self), self._api_key, **{name: getattr(self, name) for name in names}
        ), ()

    def __enter__(self) -> Client:
        return self

    def close(self, *_: object) -> None:
        """Close the idle connections.  The client remains usable."""
        with contextlib.suppress(
            AttributeError, IndexError
        ):  # of a client whose arguments were refused; at the end
            self._pool.context = (
                self.ssl_context
            )  # an opener is a circle: it keeps this, of 1 MB, until a collection
            while True:
                self._pool.idle.pop().close()

    __exit__ = __del__ = close

    def complete(
        self, messages: _Messages, model: str | None = None, **params: Any
    ) -> Completion:
        """The whole answer.  Takes what `build_request` takes, and ``timeout``, ``max_retries``, ``extra_headers``
        (``None``: as the client).  Raises what that does, `APIConnectionError`, `APIStatusError`, `ResponseError`."""
        connection: _Connection = self._send(messages, model, False, **params)
        text, failure = connection.read_all()
        if failure:
            raise self._lost(
                "the answer broke off after %d characters" % len(text),
                failure,
                connection.timeout,
                text,
            )
        with contextlib.suppress(ResponseError):
            return _parse(text, "message")
        return _parse(
            self._without_key(text), "message"
        )  # fails again, without the key in what the error quotes

    def stream(
        self, messages: _Messages, model: str | None = None, **params: Any
    ) -> Stream:
        """The answer as it is generated.  Takes and raises what `complete` does; then the `Stream` its own errors."""
        return Stream(
            self._send(messages, model, True, **params),
            self._without_key,
            params.get("n"),
        )

    if TYPE_CHECKING:

        @overload
        def create(
            self, *, messages: _Messages, stream: Literal[True], **params: Any
        ) -> Stream: ...
        @overload
        def create(
            self,
            *,
            messages: _Messages,
            stream: Literal[False] | None = ...,
            **params: Any,
        ) -> Completion: ...
        @overload
        def create(
            self, *, messages: _Messages, stream: bool, **params: Any
        ) -> Completion | Stream: ...

    def create(
        self,
        *,
        messages: _Messages,
        model: str | None = None,
        stream: Any = False,
        **params: Any,
    ) -> Any:
        """`stream` if *stream* is true, else `complete`, as in the OpenAI SDK."""
        return (
            self.stream if _checked("stream", stream or False, bool) else self.complete
        )(messages, model, **params)

    @property
    def chat(self) -> Client:
        """The client itself, so that ``client.chat.completions.create(…)`` works."""
        return self

    completions = chat

    def _send(
        self,
        messages: _Messages,
        model: str | None,
        stream: bool,
        *,
        timeout: float | None = None,
        max_retries: int | None = None,
        extra_headers: Mapping[str, str] | None = None,
        **params: Any,
    ) -> Any:
        """Send a request, again if need be: the `_Connection` with its answer, whose status is 2xx."""
        content: Any = _RequestBody(
            build_request(messages, model or self.model, stream=stream, **params)
        )
        timeout = (
            self.timeout if timeout is None else _checked("timeout", timeout, _SECONDS)
        )
        retries = (
            self.max_retries
            if max_retries is None
            else _checked("max_retries", max_retries, _COUNT)
        )
        headers = {
            "Host": urllib.parse.urlsplit(self.base_url).netloc,
            "User-Agent": "siraya_chat/" + __version__,
            "Accept": "text/event-stream" if stream else "application/json",
            "Accept-Encoding": "identity",
            "Authorization": "Bearer " + self._api_key if self._api_key else "",
            "Content-Type": "application/json",
            **self.headers,
            **_checked_headers("extra_headers", extra_headers),
            "Content-Length": str(content.length),
        }
        if not headers["Authorization"]:
            raise SirayaError(
                "no API key: set the environment variable SIRAYA_API_KEY, or pass Client(api_key=…)"
            )
        if not self._warned and re.match(
            r"(?i)http://(?!(localhost|127\.[\d.]+|\[::1\])(?![^:/]))", self.base_url
        ):
            self._warned = True
            warnings.warn(
                "the API key goes over plain http, open to all on the way: "
                + self.base_url,
                stacklevel=3,
            )
        for attempt in (
            itertools.count()
        ):  # the error has no name: that would make a circle, which holds the request
            try:
                request = urllib.request.Request(
                    self.base_url + "/chat/completions", content, method="POST"
                )
                request.headers = dict(
                    headers
                )  # as they are: add_header() writes them all in its own way
                connection: _Connection = self._pool.parent.open(
                    request, timeout=timeout
                )
                if connection.status < 300:
                    return connection
                fields = http.client.HTTPMessage()
                for name, value in connection.headers.items():
                    fields[name] = self._without_key(value)
                last: list[Any] = [
                    _status_error(
                        connection.status,
                        self._without_key(connection.reason),
                        fields,
                        self._without_key(connection.read_all()[0]),
                    )
                ]
                passes = (
                    connection.status in (408, 409, 429) or connection.status >= 500
                )
            except (APITimeoutError, *_NETWORK_ERRORS) as failure:
                last = [self._lost("no answer from " + self.base_url, failure, timeout)]
                passes = not isinstance(failure, ssl.SSLCertVerificationError)
            if not passes or attempt == retries:
                raise last.pop()
            time.sleep(_retry_delay(attempt, getattr(last[0], "retry_after", None)))

    def _lost(
        self,
        what: str,
        failure: Exception,
        timeout: float | None,
        body: str | None = None,
    ) -> Any:
        """The error for what the network did, with its cause unless that quotes the key."""
        kind: Any = (
            ResponseError
            if isinstance(failure, (zlib.error, ResponseError))
            else (
                APITimeoutError
                if isinstance(failure, (APITimeoutError, *_TIMEOUT_ERRORS))
                else APIConnectionError
            )
        )
        said = what + ": " + _describe(failure, timeout)
        error = kind(self._without_key(said), body and self._without_key(body))
        error.__cause__ = failure if self._without_key(said) == said else None
        return error

    def _without_key(self, text: str) -> str:
        """Some servers echo the key, perhaps escaped.  A key of a few letters is no secret, but part of words."""
        key = "".join(
            r"(?:\\?%s|\\u%04x)" % (re.escape(letter), ord(letter))
            for letter in self._api_key
        )
        return re.sub(key, "***", text, flags=re.I) if len(self._api_key) > 5 else text


def _checked_url(url: str) -> str:
    with contextlib.suppress(
        ValueError
    ):  # of a port, an IPv6 address or a name that is none
        place = urllib.parse.urlsplit(_checked("base_url", url, str))
        if place.port != 0 and re.match(
            r"https?://(?!:)[^\s\x00-\x1f/?#@%\\]+(/[!\"$->@-~]*)?\Z", url, re.I
        ):
            return url.replace(
                place.netloc, place.netloc.encode("idna").decode(), 1
            ).rstrip("/")
    raise ValueError(
        "base_url must be http(s)://HOST[:PORT][/PATH], not %r"
        % re.sub("//[^/]*@", "//…@", url)
    )


def _checked_headers(
    parameter: str, headers: Mapping[str, str] | None
) -> dict[str, str]:
    """Headers as RFC 9110 § 5 allows them, named in one way.  No value is shown: it may be a secret."""
    fits = re.compile(
        r"(?ai)(?!content-length\n|transfer-encoding\n)[\w!#$%&'*+.^`|~-]+\n[\t -~\xa0-\xff]*\Z"
    ).match
    if not hasattr(headers or {}, "items"):
        raise TypeError(
            "%s must be a dict, not %s" % (parameter, type(headers).__name__)
        )
    for name, value in (headers or {}).items():
        if not (
            isinstance(name, str)
            and isinstance(value, str)
            and fits(name + "\n" + value)
        ):
            raise ValueError(
                "%s: %.100r cannot be set, or its value is not one line of Latin-1"
                % (parameter, name)
            )
    return {name.title(): value for name, value in (headers or {}).items()}


class Stream:
    """An answer as it is generated: iterates, with ``for`` or ``async for``, over its chunks (`JSONObject`).  The end
    of the loop means that the answer is complete; whatever cuts it short is a `StreamError` after the last chunk.
    `close` (from any thread), leaving ``with`` and dropping the stream end the request.  For one consumer."""

    _outcome: Any = (
        "open",
    )  # then "complete", "closed", or "failed" with a message and a body

    def __init__(
        self, connection: _Connection, without_key: Callable[[str], str], n: Any = 1
    ) -> None:
        self._connection, self._timeout, self._without_key = (
            connection,
            connection.timeout,
            without_key,
        )
        self._is_document = connection.headers.get_content_type() in (
            "application/json",
            "text/html",
        )
        if self._is_document:  # a server that does not stream, or a page: one event, its line breaks being but space
            lines = (
                block.replace(b"\r", b" ").replace(b"\n", b" ")
                for block in connection.blocks
            )
            connection.blocks = itertools.chain(
                [b"data: "], lines, [b"\n\ndata: [DONE]\n\n"]
            )
        self._parser, self._n, self._unfinished = (
            SSEParser(),
            n if isinstance(n, int) else 1,
            0,
        )  # bytes of an event
        self._chunks: collections.deque[JSONObject] = (
            collections.deque()
        )  # arrived and not yet taken
        self._texts: list[
            str
        ] = []  # of all chunks that arrived: parsed again when the whole is asked for

    def __iter__(self) -> Iterator[JSONObject]:
        while self._wait():
            while self._chunks:
                yield self._chunks.popleft()

    def __next__(self) -> JSONObject:
        return next(iter(self))

    async def __aiter__(self) -> AsyncIterator[JSONObject]:
        import asyncio
        from concurrent.futures import ThreadPoolExecutor

        thread = ThreadPoolExecutor(
            1
        )  # its own: a stream blocks a thread for long, and asyncio shares just a few
        try:
            while await asyncio.get_running_loop().run_in_executor(thread, self._wait):
                while self._chunks:
                    yield self._chunks.popleft()
        except asyncio.CancelledError:
            self.close()
            raise
        finally:
            thread.shutdown(wait=False)

    def __enter__(self) -> Stream:
        return self

    def close(self, *_: object) -> None:
        """End the request at the server.  Chunks that have arrived can still be read."""
        self._end("closed")

    __exit__ = __del__ = close

    @property
    def text_stream(self) -> Iterator[str]:
        """The pieces of the first choice's text, as they arrive."""
        for chunk in self:
            for choice in chunk.choices or ():
                text = (
                    choice.delta.content if choice.delta and not choice.index else None
                )
                if text and isinstance(text, str):
                    yield text

    def get_final_completion(self) -> Completion:
        """Read what is left; the `Completion` that the answer would have been without streaming, or `StreamError`."""
        collections.deque(self, maxlen=0)
        if self._outcome[0] == "closed":
            raise StreamError(
                "the stream was closed before its end", None, self._so_far()
            )
        return self._so_far()

    def _so_far(self) -> Completion:
        chunks: list[Any] = []
        for text in self._texts:
            with contextlib.suppress(
                RecursionError
            ):  # what was not too deep where it was taken may be so from here
                chunks.append(_DECODER.decode(text))
        if len(chunks) < len(self._texts):
            raise StreamError(
                "a chunk is nested too deeply", self._texts, _assemble(chunks)
            )
        return _assemble(chunks)

    def _end(self, *outcome: Any) -> None:
        if (
            vars(self).setdefault("_outcome", outcome) is outcome
        ):  # atomic: the first end holds, in whatever thread
            connection = vars(self).pop("_connection")
            connection.release() if outcome[0] == "complete" else connection.close()

    def _wait(self) -> bool:
        """Wait for chunks.  False at the end of a complete or a closed stream; raises at that of a failed one."""
        while not self._chunks and self._outcome[0] == "open":
            try:
                block = self._connection.read()
                if block is None:
                    raise ConnectionError("the server closed it")
                self._take(self._parser._feed(block))
                if self._chunks:
                    self._unfinished = 0
                    return True
                self._unfinished += len(block)
                if self._unfinished > MAX_EVENT_BYTES:
                    raise ResponseError(
                        "an event is larger than %d bytes" % MAX_EVENT_BYTES
                    )
            except (ResponseError, RecursionError) as error:
                self._end(
                    "failed",
                    "the stream broke off: %s" % error,
                    getattr(error, "body", None),
                )
            except _NETWORK_ERRORS as error:
                rest = (
                    self._parser._line[len(b"data: ") :].decode("utf-8", "replace")
                    if self._is_document
                    else ""
                )
                # It was all if an unterminated [DONE] stands last, or every choice has finished.
                self._take(
                    [
                        event
                        for event in self._parser._feed(b"\n\n")
                        if event[1].lstrip().startswith("[DONE]")
                    ]
                )
                choices = self._so_far().choices
                whole = len(choices) >= max(self._n, 1) and all(
                    choice.finish_reason for choice in choices
                )
                said = "the stream ended before the answer did: " + _describe(
                    error, self._timeout
                )
                self._end(
                    "complete" if whole else "failed",
                    self._without_key(said),
                    self._without_key(rest) or None,
                )
            except BaseException:  # such as Ctrl-C: what a read has lost is not known
                self._end("failed", "the reading was interrupted", None)
                raise
        if not self._chunks and self._outcome[0] == "failed":
            raise StreamError(self._outcome[1], self._outcome[2], self._so_far())
        return bool(self._chunks)

    def _take(self, events: list[Any]) -> None:
        """Take the events' chunks; a usual one is recognised at sight."""
        scan, chunk = _DECODER.scan_once, JSONObject()
        for kind, data, _, _ in events:
            try:
                chunk, end = scan(data, 0)
                choices = chunk["choices"]
                usual = (
                    end == len(data)
                    and kind == "message"
                    and "error" not in chunk
                    and choices.__class__ is list
                )
                for choice in choices:
                    usual = usual and choice["delta"].__class__ is JSONObject
            except (StopIteration, ValueError, LookupError, TypeError, RecursionError):
                usual = False
            if not usual and data.lstrip().startswith("[DONE]"):
                return self._end("complete")
            if not usual:
                data = self._without_key(
                    '{"error": %s}' % data if kind == "error" else data
                )
                chunk = JSONObject(
                    _parse(
                        data,
                        "message" if self._is_document or kind == "error" else "delta",
                    )
                )
                for choice in chunk.choices if self._is_document else ():
                    chunk["object"], choice["delta"] = (
                        "chat.completion.chunk",
                        choice.pop("message", None),
                    )
                data = _ENCODE(chunk)
            self._texts.append(data)
            self._chunks.append(chunk)


# --------------------------------------------------------------------------------------- the command line
_HELP = """usage: siraya-chat [options] [prompt ...]
Ask a model.  The answer goes to standard output, everything else to standard error.

examples:
  siraya-chat "What is the meaning of life?"
  git diff | siraya-chat -s "You are a strict reviewer." "Review this."
  siraya-chat -a invoice.pdf --schema '{"type": "object"}' "Extract number and total."
  siraya-chat -c -m openai/gpt-4o -o temperature=0.2

environment: SIRAYA_API_KEY (there is no option for the key: every user of a machine can read its command lines),
SIRAYA_BASE_URL, SIRAYA_MODEL, https_proxy, no_proxy, SSL_CERT_FILE, SSL_CERT_DIR
exit status: 0 done; 1 the service or the network failed; 2 usage; 130 interrupted"""
_FAILURES = (
    APIConnectionError,
    APIStatusError,
    ResponseError,
)  # of the network and the service, not of the user


def _options(argv: Sequence[str] | None) -> Any:
    from argparse import SUPPRESS, ArgumentParser, RawDescriptionHelpFormatter

    parser: Any = ArgumentParser(
        "siraya-chat", SUPPRESS, _HELP, formatter_class=RawDescriptionHelpFormatter
    )
    add, several = parser.add_argument, {"action": "append", "default": []}
    add(
        "prompt",
        nargs="*",
        help="words of the prompt; piped standard input is added to them",
    )
    add(
        "-m",
        "--model",
        default=os.environ.get("SIRAYA_MODEL") or DEFAULT_MODEL,
        help="default: %(default)s",
    )
    add("-s", "--system", metavar="TEXT", help="system message")
    add(
        "-a",
        "--attach",
        metavar="FILE_OR_URL",
        **several,
        help="image, PDF, audio, video, text, document; repeatable",
    )
    add(
        "-o",
        "--option",
        metavar="KEY=VALUE",
        **several,
        help="any parameter; VALUE is JSON or a string; repeatable",
    )
    add(
        "--schema", metavar="FILE_OR_JSON", help="structured output by this JSON Schema"
    )
    add("--no-stream", action="store_true", help="wait for the whole answer")
    add(
        "-j",
        "--json",
        action="store_true",
        help="print the response as JSON; streamed: one chunk a line",
    )
    add(
        "-u",
        "--usage",
        action="store_true",
        help="tokens, and cost where given, on standard error",
    )
    add(
        "-c",
        "--chat",
        action="store_true",
        help="a conversation: a line a turn; Ctrl-C stops an answer, Ctrl-D ends",
    )
    add(
        "-n",
        "--dry-run",
        action="store_true",
        help="print the request body and send nothing",
    )
    add(
        "--base-url",
        metavar="URL",
        help="default: $SIRAYA_BASE_URL, or " + DEFAULT_BASE_URL,
    )
    add(
        "--timeout",
        metavar="SECONDS",
        type=float,
        default=600.0,
        help="without a byte before giving up; default: 600",
    )
    add("--version", action="version", version="siraya_chat " + __version__)
    return parser.parse_args(argv)


class _CommandLine:
    def __init__(self, options: Any) -> None:
        self.options = options
        self.parts: list[Any] = [
            attach(source) for source in options.attach
        ]  # for the first turn
        self.history = [] if options.system is None else [system(options.system)]
        self.client = Client(
            "" if options.dry_run else None, options.base_url, timeout=options.timeout
        )
        self.client._pool.progress = lambda sent, total: _sign(
            "sending %.1f MB: %d %%" % (total / 1e6, 100 * sent // total)
            if total > max(1e6, sent)
            else "waiting …"
        )
        self.body: dict[str, Any] = {
            "model": options.model,
            "stream": not options.no_stream,
            "stream_options": {"include_usage": True}
            if options.usage and not options.no_stream
            else None,
        }
        if options.schema is not None:
            text = options.schema
            if not text.lstrip().startswith("{"):
                with open(text, "rb") as file:  # as bytes, JSON tells its encoding
                    text = file.read()
            self.body["response_format"] = json_schema(
                _checked("--schema", _value(text), {})
            )
        self.call: dict[str, Any] = {}  # parameters that are no part of the body
        for key, equals, value in (option.partition("=") for option in options.option):
            if not equals or key in ("", "model", "messages", "stream"):
                raise ValueError(
                    "-o must be KEY=VALUE, where KEY has no option of its own, not %r"
                    % (key + equals)
                )
            (
                self.call
                if key in ("timeout", "max_retries", "extra_headers")
                else self.body
            )[key] = _value(value)

    def run(self) -> int:
        status, terminal, text = 0, sys.stdin.isatty(), " ".join(self.options.prompt)
        if self.options.dry_run or not self.options.chat:
            text = "\n\n".join(
                filter(None, (text, "" if terminal else sys.stdin.read().strip("\n")))
            )
            if not text and not self.parts:
                raise ValueError(
                    "no prompt: give some words, pipe a text, or have a conversation with -c"
                )
            self.turn(text)
            return 0
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401  gives input() line editing and history
        while True:
            try:
                with contextlib.redirect_stdout(
                    sys.stdout if sys.stdout.isatty() else sys.stderr
                ):  # for the prompt
                    text = text or input("> " if terminal else "")
                if text.strip():
                    self.turn(text)
            except EOFError:
                print(end="\n" if terminal else "", file=sys.stderr)
                return status
            except (
                KeyboardInterrupt,
                *_FAILURES,
            ) as error:  # the conversation stays as it was before the turn
                _report(str(error) or "interrupted")
                status = 0 if terminal else 1
            text = ""

    def turn(self, text: str) -> None:
        """Send the text after what was said before, print the answer as it comes, and remember both."""
        messages, whole = (
            [*self.history, user(*filter(None, [text, *self.parts]))],
            self.options.no_stream,
        )
        self.pieces: list[str] = []  # of the answer, as far as they are printed
        if self.options.dry_run:
            return self.show(
                json.dumps(
                    build_request(messages, **self.body), indent=2, ensure_ascii=False
                )
                + "\n"
            )
        try:
            answer: Any = self.client.create(
                messages=messages, **self.body, **self.call
            )
            lines = (
                json.dumps(part, ensure_ascii=False) + "\n"
                for part in ([answer] if whole else answer)
            )
            texts = [answer.text] if whole else answer.text_stream
            for piece in lines if self.options.json else texts:
                self.show(piece)
            completion = answer if whole else answer.get_final_completion()
        except KeyboardInterrupt:
            if self.options.json or not (self.options.chat and self.pieces):
                raise
            completion = Completion(
                choices=[JSONObject(message=JSONObject(content="".join(self.pieces)))]
            )
        finally:
            self.show("" if "".join(self.pieces)[-1:] in ("", "\n") else "\n")
        if self.options.usage:
            told = {"cost": completion.cost, **(completion.usage or {})}.items()
            _report(
                ", ".join(
                    "%s: %s" % item
                    for item in told
                    if isinstance(item[1], (int, float))
                )
                or "usage unknown"
            )
        self.history, self.parts = [*messages, assistant(completion.text)], []

    def show(self, text: str) -> None:
        if not self.pieces:
            _sign("")
        self.pieces.append(text)
        text = (
            re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", "", text)
            if sys.stdout.isatty()
            else text
        )  # it may drive it
        print(text, end="", flush=True)


def _value(text: str | bytes) -> Any:  # JSON, or else the text itself
    with contextlib.suppress(ValueError, RecursionError):
        return json.loads(text)
    return text


def _sign(text: str) -> None:  # of life, on a terminal only; an empty one takes it away
    if sys.stderr.isatty():
        print("\r\x1b[K" + text, end="", file=sys.stderr, flush=True)


def _report(what: object) -> None:
    print("siraya-chat: %s" % what, file=sys.stderr)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line with these arguments (default: those of the process); returns the exit status."""
    warnings.showwarning = lambda message, *_: _report(message)
    for name, mode in (("stdin", "r"), ("stdout", "r"), ("stderr", "w")):
        setattr(
            sys, name, getattr(sys, name) or open(os.devnull, mode)
        )  # None if closed; then writing is to fail
        with contextlib.suppress(AttributeError):  # not a stream of the system
            getattr(sys, name).reconfigure(errors="replace")
    try:
        status = _CommandLine(_options(argv)).run()
    except (
        SystemExit,
        BrokenPipeError,
    ) as end:  # argparse has said why; a reader has had enough, as in … | head
        status = int(getattr(end, "code", None) or 0)
    except KeyboardInterrupt:
        status = 130
    except (SirayaError, ValueError, TypeError, OSError, RecursionError) as error:
        _report(error)
        status = 1 if isinstance(error, _FAILURES) else 2
    try:
        sys.stdout.flush()
    except OSError:  # write nothing more, not even at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return status


if __name__ == "__main__":
    sys.exit(main())
