"""An OpenAI-compatible chat-completions client in one file, with no dependencies.

For the Siraya Model Router and every other OpenAI-compatible server.  CPython 3.7 and
later, standard library only.  Copy the file beside your program, vendor it, or run it:

    from siraya_chat import Client

    client = Client(model="anthropic/claude-sonnet-4.5")  # needs SIRAYA_API_KEY
    with client.stream("Tell me a story.") as stream:
        for piece in stream.text_stream:
            print(piece, end="", flush=True)

    $ python -m siraya_chat "What is the meaning of life?"

Start with help(Client), help(Stream), help(Completion) and help(build_request), which
lists the parameters of a request.

Logging: if the program has imported `logging`, the logger "siraya_chat" gets a record
of each attempt (DEBUG) and of each retry (INFO).  No record holds a key or a message's
text.

SPDX-License-Identifier: MIT
"""

# The file reads from top to bottom; each section uses only what stands above it:
#
#   text             printable, bounded and masked text
#   errors           the exceptions, and what they read from an error body
#   answers          JSON objects with attributes, completions, chunks
#   rules            checks of arguments
#   messages         system(), user(), assistant(), tool_result(), json_schema()
#   attachments      image(), pdf(), audio(), video(), attach()
#   request          build_request(), and the body in blocks of bytes
#   events           SSEParser: Server-Sent Events
#   assembling       the chunks of a stream become one Completion
#   transport        kept HTTP connections, proxies, TLS, time limits
#   streams          Stream
#   client           Client: settings, retries
#   asyncio          AsyncClient, AsyncStream
#   command line     main()

from __future__ import annotations

import base64
import binascii
import collections
import contextlib
import email.utils
import http.client
import io
import json
import math
import operator
import os
import random
import re
import socket
import ssl
import sys
import threading
import time
import urllib.parse
import urllib.request
import warnings
import zlib

TYPE_CHECKING = False  # type checkers read it as True; importing typing takes time
if TYPE_CHECKING:
    from collections.abc import (
        AsyncIterator,
        Callable,
        Coroutine,
        Iterable,
        Iterator,
        Mapping,
        Sequence,
    )
    from typing import (
        Any,
        BinaryIO,
        Literal,
        Protocol,
        Required,
        Self,
        TypedDict,
        TypeVar,
        Unpack,
        overload,
    )

    Messages = str | Sequence[Mapping[str, Any]]
    Source = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO
    Rule = Callable[[str, Any], object]

__version__ = "2.0.0"
__all__ = [
    "APIConnectionError",
    "APIError",
    "APIStatusError",
    "APITimeoutError",
    "AsyncClient",
    "AsyncStream",
    "AuthenticationError",
    "BadRequestError",
    "Client",
    "Completion",
    "ConflictError",
    "Event",
    "InternalServerError",
    "JSONObject",
    "NotFoundError",
    "OpenAIError",
    "PaymentRequiredError",
    "PermissionDeniedError",
    "RateLimitError",
    "ResponseError",
    "SSEParser",
    "SirayaError",
    "Stream",
    "StreamError",
    "UnprocessableEntityError",
    "assistant",
    "attach",
    "audio",
    "build_request",
    "image",
    "json_schema",
    "main",
    "pdf",
    "system",
    "tool_result",
    "user",
    "video",
]

DEFAULT_BASE_URL = "https://llm.siraya.pro/v1"
# Of the command line; the library has none.
DEFAULT_MODEL = "anthropic/claude-sonnet-4.5"

# Of an answer, compressed or not: ten minutes of speech in base64 take 40 MB.
MAX_ANSWER_BYTES = 64 << 20
# Of an answer with HTTP's own framing, which takes six bytes for a chunk of one byte.
MAX_WIRE_BYTES = 4 * MAX_ANSWER_BYTES
# Of an error's body: nobody reads more.
MAX_ERROR_BODY_BYTES = 1 << 20
# Arrays, objects and their items in one JSON text: each may take 300 bytes of memory.
MAX_JSON_ITEMS = 1_000_000
# How deep JSON may be nested: json and pickle carry this on any stack.
MAX_JSON_DEPTH = 100
# Choices of an answer, and tool calls of a message.
MAX_ITEMS = 500
# Items of any other list whose items come in pieces: each takes a kilobyte of memory.
MAX_LIST_ITEMS = 10_000
# Characters of the name of a tool.
MAX_NAME_LENGTH = 10_000
# Members of a gzip body.
MAX_GZIP_MEMBERS = 1000
# Interim answers (RFC 9110 § 15.2) before the answer itself.
MAX_INTERIM_ANSWERS = 100
# Characters of an error's message: some servers answer with whole pages.
MAX_MESSAGE_LENGTH = 1000
# Characters of a value that an error's message quotes.
MAX_QUOTED_LENGTH = 200

# Seconds between attempts, if the server does not say: at least, and at most.
MIN_BACKOFF = 0.5
MAX_BACKOFF = 8.0
# The longest Retry-After, in seconds, that we wait for.
MAX_RETRY_AFTER = 60.0

MAX_IDLE_CONNECTIONS = 32
# Seconds: firewalls forget a silent connection after a minute or so.
MAX_IDLE_SECONDS = 30.0
# Seconds for the bytes that follow [DONE], before a connection is used again.
DRAIN_SECONDS = 0.1
# Seconds before the first keep-alive probe of TCP, and between two probes.
KEEP_ALIVE_SECONDS = 60
# Marks a missing value where None is a valid one.
_UNSET: Any = ...

# Of one read.
BLOCK_BYTES = 64 << 10
# Of one send: the size of a TLS record, so that a slow upload is seen to move.
SEND_BYTES = 16 << 10
# Sent between two lines of the log.
LOG_BYTES = 1 << 20


# ------------------------------------------------------------------------------- text

# What a terminal obeys or hides: controls, line separators, zero-width characters,
# bidirectional marks and overrides, and halves of surrogate pairs.
_UNPRINTABLE = (
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)


def _printable(text: str) -> str:
    """The text on one line, fit for a terminal."""
    if not text.isprintable():  # first, since to compile the pattern takes 1 ms
        text = re.sub(_UNPRINTABLE, " ", text)
    return " ".join(text.split())


def _cut(text: str, limit: int) -> str:
    """The text, or as much of its beginning as fits the limit, and an ellipsis."""
    if len(text) <= limit:
        return text
    return text[: limit - 1] + "\u2026"


def _decode_text(data: bytes, encoding: str) -> str | None:
    """The text in a file: UTF-16 after a byte order mark, else in this encoding.

    ``None`` if it is not text.
    """
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        encoding = "utf-16"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


def _mask(value: Any, secrets: Iterable[str]) -> Any:
    """A text, or the texts in a JSON value, without the secrets.

    Secrets of five characters or fewer stay: they would be parts of ordinary words.
    """
    if isinstance(value, str):
        for secret in secrets:
            if len(secret) > 5:
                value = value.replace(secret, "***")
        return value
    if isinstance(value, list):
        return [_mask(item, secrets) for item in value]
    if isinstance(value, dict):
        masked = ((_mask(name, secrets), _mask(value[name], secrets)) for name in value)
        return type(value)(masked)
    return value


# ----------------------------------------------------------------------------- errors


class SirayaError(Exception):
    """The base of all errors.

    ``str(error)`` and ``error.message``: one printable line of at most 1,000
    characters. ``body``: what the server sent: JSON if it is that, else text; ``None``
    if nothing.
    """

    def __init__(self, message: str = "", body: Any = None) -> None:
        message = _cut(message, 10 * MAX_MESSAGE_LENGTH)  # bounds the next line's work
        self.message = _cut(_printable(message), MAX_MESSAGE_LENGTH)
        self.body = body
        super().__init__(self.message)

    def _add_note(self, note: str) -> None:
        room = MAX_MESSAGE_LENGTH - len(note)
        self.message = _cut(self.message, room) + note
        self.args = (self.message,)


# The names that programs written for the OpenAI SDK catch.
APIError = SirayaError
OpenAIError = SirayaError


class APIConnectionError(SirayaError):
    """The service was not reached, or the connection failed."""


class APITimeoutError(APIConnectionError):
    """A time limit has passed: ``connect_timeout``, ``timeout`` or ``deadline``."""


class APIStatusError(SirayaError):
    """The service answered with a status other than 2xx.

    ``status_code``: an int.  ``code``, ``type``, ``param``: of the error object in the
    body, or ``None``.  ``headers``: a case-insensitive mapping.  ``request_id``: a str
    or ``None``.  ``retry_after``: the seconds that the server asks to wait, or
    ``None``.
    """

    def __init__(
        self,
        message: str = "",
        body: Any = None,
        status_code: int = 0,
        headers: Any = None,
    ) -> None:
        super().__init__(message, body)
        fields = _error_fields(body)
        self.code = fields.get("code")
        self.type = fields.get("type")
        self.param = fields.get("param")
        self.status_code = status_code
        self.headers = headers or {}
        self.request_id = self.headers.get("x-request-id")
        self.retry_after = _retry_after(self.headers)


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


class ConflictError(APIStatusError):
    """409: the request conflicts with another one."""


class UnprocessableEntityError(APIStatusError):
    """422: the request has the right form, but a value that cannot be processed."""


class RateLimitError(APIStatusError):
    """429: too many requests."""


class InternalServerError(APIStatusError):
    """5xx: trouble at the service or at the model's provider."""


class ResponseError(SirayaError):
    """The answer is not what the API promises: not JSON, too large, an error.

    ``body``: what came instead.  ``code`` and ``type``: of an error object in it.
    ``retry_after``: the seconds that the server asks to wait, or ``None``.
    """

    def __init__(self, message: str = "", body: Any = None) -> None:
        super().__init__(message, body)
        self.retry_after: float | None = None
        fields = _error_fields(body)
        self.code = fields.get("code")
        self.type = fields.get("type")


class StreamError(ResponseError):
    """The stream ended before the answer did.

    An error event, truncation, a malformed chunk, a lost connection, a time limit.
    ``partial``: the `Completion` so far; no complete event is lost.
    """

    def __init__(
        self, message: str = "", body: Any = None, partial: Completion | None = None
    ) -> None:
        super().__init__(message, body)
        self.partial = partial


_STATUS_ERRORS = {
    400: BadRequestError,
    401: AuthenticationError,
    402: PaymentRequiredError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    422: UnprocessableEntityError,
    429: RateLimitError,
}


def _status_error(
    status: int, reason: str, headers: Any, body: Any, said: str, advice: str
) -> APIStatusError:
    """The error for an answer with this status.

    *body* and *said*: see `_read_error_body`.  *advice*: what to try; may be empty.
    """
    if 300 <= status < 400 and headers.get("Location"):
        said = (
            "redirected to %s, which is not followed; set base_url to that URL"
            % (re.split("[?#]", _cut(headers["Location"], MAX_QUOTED_LENGTH))[0])
        )
    message = "HTTP %d %s" % (status, reason)
    if said:
        message += ": " + said
    if advice:
        message = _cut(message, MAX_MESSAGE_LENGTH - len(advice) - 2) + "; " + advice
    kind = _STATUS_ERRORS.get(status)
    if kind is None:
        kind = InternalServerError if status >= 500 else APIStatusError
    return kind(message, body, status, headers)


def _read_error_body(text: str, mask: Callable[[Any], Any]) -> tuple[Any, str]:
    """What to keep of an error's body, and the sentence in it.

    *mask*, here and below: takes the keys out of a text or of a JSON value.
    """
    try:
        body = mask(json.loads(text))
        text = json.dumps(body, ensure_ascii=False)  # in which no escape hides a key
    except (ValueError, RecursionError):
        text = mask(text)
        return text, _page_title(_cut(text, 10 * MAX_MESSAGE_LENGTH))
    words = _error_words(body) or text
    if _is_deeper(body, MAX_JSON_DEPTH):  # the error could not be pickled
        body = text
    return body, words


def _is_deeper(value: Any, levels: int) -> bool:
    if isinstance(value, dict):
        inner: Any = value.values()
    elif isinstance(value, (list, tuple)):
        inner = value
    else:
        return False
    return levels == 0 or any(_is_deeper(item, levels - 1) for item in inner)


def _page_title(text: str) -> str:
    """The title of an HTML page, or its first text; any other text as it is."""
    if not text.lstrip().startswith("<"):
        return text
    found = re.search(r"<title[^<>]*>([^<]*)", text, re.I)
    if found is None:
        found = re.search(r">\s*([^<>\s][^<>]*)", text)
    return found.group(1) if found else ""


def _error_object(body: Any) -> Any:
    """The error in a body: what stands under "error", or else all of it."""
    if isinstance(body, list) and body:
        body = body[0]
    for name in ("error", "errors"):
        if isinstance(body, dict) and body.get(name):
            return body[name]
    return body


def _error_fields(body: Any) -> dict[str, Any]:
    """The object that has the error's code and type."""
    error = _error_object(body)
    if isinstance(error, dict):
        return error
    return body if isinstance(body, dict) else {}


def _error_words(body: Any) -> str:
    """The message in an error's body.  Servers use different shapes."""
    error = _error_object(body)
    while not isinstance(error, str):
        if isinstance(error, list):
            error = error[0] if error else ""
        elif isinstance(error, dict):
            names = ("message", "detail", "msg", "error", "title")
            error = next((error[name] for name in names if error.get(name)), "")
        else:
            return ""
    return error


def _retry_after(headers: Any) -> float | None:
    """The seconds to wait, by ``retry-after-ms`` or RFC 9110 § 10.2.3."""
    milliseconds = _number_in(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    value = headers.get("Retry-After")
    seconds = _number_in(value)
    if seconds is not None or value is None:
        return seconds
    try:
        date = email.utils.parsedate_to_datetime(value[:100])
        return max(0.0, date.timestamp() - time.time())
    except Exception:  # what it raises for a malformed date differs between versions
        return None


def _number_in(value: str | None) -> float | None:
    """The number that a header's value is, or ``None``."""
    if value is None or not re.match(r"\s*[0-9]{0,15}\.?[0-9]{0,15}\s*\Z", value[:50]):
        return None
    try:
        return float(value[:50])
    except ValueError:  # "" or "."
        return None


# ---------------------------------------------------------------------------- answers

# The fields that the API defines, beside choices and delta: where one is absent, it
# reads as None.
_API_FIELDS = frozenset(
    """
    id object created model usage system_fingerprint service_tier provider cost
    cost_details error index message finish_reason native_finish_reason logprobs
    role content refusal reasoning reasoning_content reasoning_details annotations
    images audio tool_calls function_call type function name arguments prompt_tokens
    completion_tokens total_tokens prompt_tokens_details completion_tokens_details
    cached_tokens reasoning_tokens audio_tokens accepted_prediction_tokens
    rejected_prediction_tokens token bytes logprob top_logprobs url_citation start_index
    end_index title url data transcript expires_at code param text parsed
    """.split()
)


class JSONObject(dict):  # type: ignore[type-arg]
    """A JSON object of an answer: a ``dict`` whose keys read as attributes too.

    A field that the API defines reads as ``None`` where it is absent, ``choices`` as an
    empty list, ``delta`` as an empty object.  Any other name that is not a key raises
    ``AttributeError``.  Setting an attribute sets the key.  A key that is named like a
    method of ``dict`` is read as ``object["items"]``.
    """

    __slots__ = ()

    if TYPE_CHECKING:
        id: str
        model: str
        created: int
        usage: Any

    @property
    def choices(self) -> list[Any]:
        """The choices; an empty list if there are none."""
        value = self.get("choices")
        return [] if value is None else value

    @property
    def delta(self) -> Any:
        """What a chunk adds to a choice; an empty object if that is nothing."""
        value = self.get("delta")
        if value is None or value == []:  # PHP writes [] for {}
            return JSONObject()
        return value

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # of copy and pickle; an answer's keys are not theirs
            raise AttributeError(name)
        if name in self:
            return self[name]
        raise AttributeError(
            "this %s has no field %r; it has: %s"
            % (type(self).__name__, name, ", ".join(map(str, self)))
        )

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __delattr__(self, name: str) -> None:
        if name not in self:
            raise AttributeError(name)
        del self[name]

    def to_dict(self) -> dict[str, Any]:
        """A copy of plain dicts and lists."""
        return self.model_dump()

    def model_dump(self, *, exclude_none: bool = False) -> dict[str, Any]:
        """A copy of plain dicts and lists; with *exclude_none* without null fields."""
        return {
            name: _plain(value, exclude_none)
            for name, value in self.items()
            if value is not None or not exclude_none
        }

    def model_dump_json(
        self, *, indent: int | None = None, exclude_none: bool = False
    ) -> str:
        """The object as JSON text."""
        plain = self.model_dump(exclude_none=exclude_none)
        separators = (",", ":") if indent is None else None
        return json.dumps(
            plain, indent=indent, separators=separators, ensure_ascii=False
        )


# Properties in C, which are faster than __getattr__: a loop over a stream reads three
# for each chunk.
for _field in _API_FIELDS:
    setattr(
        JSONObject,
        _field,
        property(operator.methodcaller("get", _field), doc="The field, or ``None``."),
    )


def _is_object(value: Any) -> bool:
    return isinstance(value, JSONObject)


def _plain(value: Any, exclude_none: bool) -> Any:
    if isinstance(value, JSONObject):
        return value.model_dump(exclude_none=exclude_none)
    if isinstance(value, list):
        return [_plain(item, exclude_none) for item in value]
    return value


class Completion(JSONObject):
    """A whole answer, however it came, with short ways to its first choice.

    ``request_id`` (a str or ``None``) and ``headers`` (a case-insensitive mapping) are
    those of the HTTP answer.  They are attributes and not keys.
    """

    request_id: str | None = None
    headers: Mapping[str, str] = http.client.HTTPMessage()  # type: ignore[assignment]

    def _set_headers(self, headers: Mapping[str, str]) -> None:
        # Past __setattr__, which would add keys to the dict.
        vars(self).update(headers=headers, request_id=headers.get("x-request-id"))

    @property
    def message(self) -> Any:
        """The first choice's message, ready for ``messages``; ``None`` if none."""
        return self.choices[0].message if self.choices else None

    @property
    def text(self) -> str:
        """The first choice's text, its parts joined; ``""`` if it has none."""
        return _text_of(self.message.content) if self.message else ""

    @property
    def tool_calls(self) -> list[Any]:
        """The first choice's tool calls; an empty list if it has none."""
        calls = self.message.tool_calls if self.message else None
        return calls if isinstance(calls, list) else []

    @property
    def finish_reason(self) -> str | None:
        """Why the first choice ended: ``"stop"``, ``"length"``, ``"tool_calls"`` …"""
        reason = self.choices[0].finish_reason if self.choices else None
        return reason if _says_finished(reason) else None

    def json(self) -> Any:
        """The text parsed as JSON; a Markdown fence around it is taken off.

        Raises `ResponseError`, with the text as ``body``, if it is not JSON.
        """
        text = self.text
        try:
            return _decode_json(_without_fence(text))
        except ValueError as error:
            why = _unfinished_reason(self)
            message = "the text is not JSON (%s)%s: %r" % (
                error,
                "; " + why if why else "",
                _cut(text, MAX_QUOTED_LENGTH),
            )
            raise ResponseError(message, text) from None


def _text_of(content: Any) -> str:
    """The text of a message's or a delta's content, which may come as parts."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    texts = []
    for part in content:
        if isinstance(part, dict) and part.get("type", "text") == "text":
            texts.append(part.get("text"))
        else:
            texts.append(part)  # some servers list bare strings
    return "".join(text for text in texts if isinstance(text, str))


def _says_finished(reason: Any) -> bool:
    """Whether a finish_reason is set.  Some servers send "" or "null" until it is."""
    return isinstance(reason, str) and reason not in ("", "null")


def _unfinished_reason(completion: Completion) -> str:
    """Why the text may not be all of the answer, or "" if nothing says so."""
    if completion.message and completion.message.refusal:
        refusal = str(completion.message.refusal)
        return "the model refused: " + _cut(refusal, MAX_QUOTED_LENGTH)
    if completion.finish_reason == "length":
        return "the answer was cut off at the limit of tokens"
    if completion.finish_reason == "content_filter":
        return "the answer was cut off by a content filter"
    return ""


def _without_fence(text: str) -> str:
    """The text inside of a Markdown code fence, if it stands in one."""
    text = text.strip()
    fence = re.match("`{3,}|~{3,}", text)
    if fence is None or not text.endswith(fence.group()):
        return text
    size = fence.end()
    first_line, _, rest = text[size:-size].partition("\n")
    return rest if re.match(r"\s*[A-Za-z0-9]*\s*\Z", first_line[:50]) else text


def _finite(text: str) -> float | None:
    value = float(text)
    return value if math.isfinite(value) else None


# NaN and Infinity are not JSON (RFC 8259 § 6); as null they can be sent back.
_DECODER: Any = json.JSONDecoder(
    object_hook=JSONObject, parse_float=_finite, parse_constant=lambda name: None
)


def _decode_json(text: str, after: str | None = None) -> Any:
    """The value of a JSON text (RFC 8259).

    *after*: how text begins that may follow.
    Raises ``ValueError`` if it is not JSON.
    """
    text = text.lstrip("\ufeff \t\r\n")
    brackets = text.count("{") + text.count("[")
    if len(text) > MAX_JSON_ITEMS and brackets + text.count(",") > MAX_JSON_ITEMS:
        raise ValueError("more than %d items" % MAX_JSON_ITEMS)
    try:
        value, end = _DECODER.raw_decode(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    rest = text[end:].strip()
    if rest and (after is None or not rest.startswith(after)):
        raise json.JSONDecodeError("Extra data", text, end)
    if brackets > MAX_JSON_DEPTH and _is_deeper(value, MAX_JSON_DEPTH):
        raise ValueError("it is nested deeper than %d levels" % MAX_JSON_DEPTH)
    return value


def _mend(value: Any) -> Any:
    """The value, changed in place: U+FFFD for halves of surrogate pairs."""
    if isinstance(value, str):
        if value.isascii() or not re.search("[\ud800-\udfff]", value):
            return value
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        for name in list(value):
            item = _mend(value.pop(name))
            value[_mend(name)] = item
    elif isinstance(value, list):
        value[:] = map(_mend, value)
    return value


def _parse_completion(text: str, mask: Callable[[Any], Any]) -> Completion:
    """A whole answer; `ResponseError` if the text is not one."""
    try:
        value = _decode_json(text, after="data: [DONE]")
    except ValueError as error:
        raise _not_a_completion(str(error), mask(text)) from None
    _raise_if_error(value, mask)
    _check_choices(value, "message", mask)
    if not value.choices:
        raise ResponseError("the answer has no choice", mask(value))
    completion = Completion(_mend(value))
    for choice in completion.choices:
        if choice.message is not None:
            _complete_message(choice.message)
    return completion


def _decode_chunk(text: str, mask: Callable[[Any], Any]) -> Any:
    """The JSON of a chunk; `ResponseError` if the text is not JSON."""
    try:
        return _decode_json(text)
    except ValueError as error:
        raise _not_a_completion(str(error), mask(text)) from None


def _is_usual_chunk(value: Any) -> bool:
    """Whether a chunk has choices with deltas and no error: nothing to look into.

    It spares nearly every chunk the checks below, which take as long as parsing it.
    """
    if not isinstance(value, JSONObject) or "error" in value:
        return False
    choices = value.get("choices")
    if not isinstance(choices, list) or not 0 < len(choices) <= MAX_ITEMS:
        return False
    for choice in choices:
        if not isinstance(choice, JSONObject):
            return False
        if not isinstance(choice.get("delta"), JSONObject):
            return False
        if "error" in choice or choice.get("finish_reason") == "error":
            return False
    return True


def _not_a_completion(reason: str, text: str) -> ResponseError:
    quoted = _cut(text, MAX_QUOTED_LENGTH)
    return ResponseError("not a chat completion (%s): %r" % (reason, quoted), text)


def _raise_if_error(value: Any, mask: Callable[[Any], Any]) -> None:
    """Raise `ResponseError` if an answer or a chunk is an error in disguise."""
    if isinstance(value, list) and value:
        value = value[0]
    if not isinstance(value, dict):
        return
    error = _reported_error(value)
    if not error:
        return
    words = mask(_error_words(error) or json.dumps(error))
    body = value
    if _error_object(value) is not error:  # it stands in a choice
        body = dict(value, error=error)
    raise ResponseError("the service reported: " + words, mask(body))


def _reported_error(value: dict[str, Any]) -> Any:
    """The error in an answer or a chunk, in the shapes that are seen; else ``None``."""
    if value.get("error"):
        return value["error"]
    for choice in _choices_of(value):
        if choice.get("error") and isinstance(choice["error"], (str, dict)):
            return choice["error"]
        if choice.get("finish_reason") == "error":
            return "no reason was given"
    if value.get("choices"):
        return None
    if value.get("object") == "error" or value.get("detail"):
        return value
    message = value.get("message")
    return value if isinstance(message, str) and message else None


def _choices_of(value: Any) -> list[JSONObject]:
    choices = value.get("choices") if isinstance(value, dict) else None
    if not isinstance(choices, list):
        return []
    return [choice for choice in choices if isinstance(choice, JSONObject)]


def _check_choices(value: Any, holder: str, mask: Callable[[Any], Any]) -> None:
    """Raise `ResponseError` unless all that stands under "choices" is a choice.

    *holder*: the field of a choice that holds its content, "message" or "delta".
    """
    if not isinstance(value, JSONObject):
        raise _not_a_completion("not a JSON object", json.dumps(mask(value)))
    if not isinstance(value.choices, list):
        raise _not_a_completion("choices is not an array", json.dumps(mask(value)))
    if len(value.choices) > MAX_ITEMS:
        raise ResponseError("more than %d choices" % MAX_ITEMS)
    for choice in value.choices:
        if not _is_choice(choice, holder):
            raise _not_a_completion("a choice is malformed", json.dumps(mask(value)))


def _is_choice(choice: Any, holder: str) -> bool:
    if not isinstance(choice, JSONObject):
        return False
    content = choice.get(holder)
    if holder == "delta" and content == []:
        return True  # see JSONObject.delta
    return content is None or isinstance(content, JSONObject)


def _content_to_send(content: Any) -> Any:
    """A message's content in the form that requests have; anything else is dropped."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return None
    parts: list[Any] = []
    for part in content:
        if isinstance(part, str):
            parts.append(JSONObject(type="text", text=part))
        elif isinstance(part, dict):
            if not isinstance(part.get("type"), str) or not part["type"]:
                part["type"] = "text"
            parts.append(part)
    return parts


def _complete_message(message: JSONObject) -> None:
    """Fill in what a message needs to be sent back: role, content, arguments."""
    if not isinstance(message.role, str) or not message.role:
        message["role"] = "assistant"
    if "content" in message:
        message["content"] = _content_to_send(message.content)
    calls = message.tool_calls
    for call in calls if isinstance(calls, list) else ():
        if isinstance(call, dict) and isinstance(call.get("function"), dict):
            function = call["function"]
            function["arguments"] = function.get("arguments") or "{}"


# ------------------------------------------------------------------------------ rules
#
# A rule is a function of a name and a value.  It returns if the value is allowed, and
# raises TypeError or ValueError if it is not.  The message has the name, the value and
# what is allowed.


def _quote(value: Any) -> str:
    """The value as it would be written in Python, cut to a bound."""
    if isinstance(value, (str, bytes)):
        value = value[: MAX_QUOTED_LENGTH + 1]
    try:
        return _cut(repr(value), MAX_QUOTED_LENGTH)
    except Exception:  # nested too deep, or an object whose __repr__ fails
        return "this " + type(value).__name__


def _wrong_type(name: str, value: Any, allowed: str) -> TypeError:
    return TypeError("%s must be %s, not %s" % (name, allowed, _quote(value)))


def _wrong_value(name: str, value: Any, allowed: str) -> ValueError:
    return ValueError("%s must be %s, not %s" % (name, allowed, _quote(value)))


def _string(name: str, value: Any) -> None:
    if not isinstance(value, str):
        raise _wrong_type(name, value, "a string")


def _secret_string(name: str, value: Any) -> None:
    """A string whose value no message shows."""
    if not isinstance(value, str):
        kind = type(value).__name__
        raise TypeError("%s must be a string, not %s" % (name, kind))


def _nonempty(name: str, value: Any) -> None:
    _string(name, value)
    if not value:
        raise ValueError("%s must not be empty" % name)


def _boolean(name: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise _wrong_type(name, value, "True or False")


def _object(name: str, value: Any) -> None:
    if not isinstance(value, dict):
        raise _wrong_type(name, value, "a dict")


def _number(low: float, high: float) -> Rule:
    def check(name: str, value: Any) -> None:
        allowed = "a number from %s to %s" % (low, high)
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            raise _wrong_type(name, value, allowed)
        if not low <= value <= high:  # NaN is neither
            raise _wrong_value(name, value, allowed)

    return check


def _integer(low: int) -> Rule:
    def check(name: str, value: Any) -> None:
        allowed = "an integer of at least %d" % low
        if not isinstance(value, int) or isinstance(value, bool):
            raise _wrong_type(name, value, allowed)
        if value < low:
            raise _wrong_value(name, value, allowed)

    return check


def _one_of(*allowed: str) -> Rule:
    def check(name: str, value: Any) -> None:
        names = "one of " + ", ".join(map(repr, allowed))
        if not isinstance(value, str):
            raise _wrong_type(name, value, names)
        if value not in allowed:
            raise _wrong_value(name, value, names)

    return check


def _pattern(pattern: str, allowed: str) -> Rule:
    def check(name: str, value: Any) -> None:
        _string(name, value)
        if not re.match(pattern + r"\Z", value):
            raise _wrong_value(name, value, allowed)

    return check


def _optional(rule: Rule) -> Rule:
    def check(name: str, value: Any) -> None:
        if value is not None:
            rule(name, value)

    return check


def _list_of(rule: Rule) -> Rule:
    def check(name: str, value: Any) -> None:
        if not isinstance(value, (list, tuple)):
            raise _wrong_type(name, value, "a list")
        for position, item in enumerate(value):
            rule("%s[%d]" % (name, position), item)

    return check


def _string_or_list_of(rule: Rule, allowed: str) -> Rule:
    def check(name: str, value: Any) -> None:
        if isinstance(value, str):
            return
        if not isinstance(value, (list, tuple)):
            raise _wrong_type(name, value, allowed)
        _list_of(rule)(name, value)

    return check


def _check_fields(
    name: str, value: Any, rules: Mapping[str, Rule], needed: Sequence[str] = ()
) -> None:
    """Check a dict by rules for its fields; other fields and ``None`` pass."""
    _object(name, value)
    for field in needed:
        if value.get(field) in (None, ""):
            raise ValueError("%s needs %r, which is missing or empty" % (name, field))
    for field, rule in rules.items():
        if value.get(field) is not None:
            rule("%s.%s" % (name, field), value[field])


_FUNCTION_RULES = {
    "name": _nonempty,
    "description": _string,
    "parameters": _object,
    "strict": _boolean,
}
_JSON_SCHEMA_RULES = {
    "name": _pattern("[A-Za-z0-9_-]{1,64}", "1 to 64 of A-Z a-z 0-9 _ -"),
    "schema": _object,
    "strict": _boolean,
    "description": _string,
}
_JSON_FORMAT_RULES = {"schema": _object, "name": _string, "description": _string}
_PROVIDER_RULES = {"allow_fallbacks": _boolean}


def _function(name: str, value: Any) -> None:
    _check_fields(name, value, _FUNCTION_RULES, needed=["name"])


def _tool(name: str, value: Any) -> None:
    """Check the definition of a function.  Other tools pass unchecked."""
    _check_fields(name, value, {"type": _string})
    kind = value.get("type")
    if kind == "function" or (kind is None and "function" in value):
        _check_fields(name, value, {"function": _function}, needed=["function"])


def _tool_choice(name: str, value: Any) -> None:
    if isinstance(value, str):
        # "any" is what Mistral's own API calls "required".
        _one_of("auto", "none", "required", "any")(name, value)
    elif not isinstance(value, dict):
        raise _wrong_type(name, value, "a string or a dict")
    elif value.get("type") == "function":
        _check_fields(name, value, {"function": _function}, needed=["function"])


def _provider(name: str, value: Any) -> None:
    _check_fields(name, value, _PROVIDER_RULES)


def _response_format(name: str, value: Any) -> None:
    """One of the forms that the API defines; other types pass."""
    _check_fields(name, value, {"type": _nonempty}, needed=["type"])
    if value["type"] == "json":
        _check_fields(name, value, _JSON_FORMAT_RULES)
    elif value["type"] == "json_schema":
        _check_fields(name, value, {"json_schema": _object}, needed=["json_schema"])
        form = value["json_schema"]
        _check_fields(name + ".json_schema", form, _JSON_SCHEMA_RULES, needed=["name"])
        if form.get("schema") is None:
            raise ValueError("%s.json_schema needs 'schema'" % name)


def _part(name: str, value: Any) -> None:
    _check_fields(name, value, {"type": _string}, needed=["type"])


_content = _string_or_list_of(_part, "a string or a list of parts")


def _message(name: str, value: Any) -> None:
    _check_fields(name, value, {"role": _string, "content": _content}, needed=["role"])
    spoken_to = value["role"] in ("system", "developer", "user", "tool")
    if spoken_to and value.get("content") is None:
        raise ValueError("%s needs a 'content'" % name)


def _messages(name: str, value: Any) -> None:
    if isinstance(value, str):
        return
    if isinstance(value, dict):
        raise TypeError("%s must be a list: write [message] for a single one" % name)
    if not isinstance(value, (list, tuple)):
        raise _wrong_type(name, value, "a string or a list of messages")
    if not value:
        raise ValueError("%s must not be empty" % name)
    _list_of(_message)(name, value)


_REQUEST_RULES: dict[str, Rule] = {
    "model": _nonempty,
    "stream": _boolean,
    "temperature": _number(0, 2),
    "max_tokens": _integer(1),
    "top_p": _number(0, 1),
    "frequency_penalty": _number(-2, 2),
    "presence_penalty": _number(-2, 2),
    "stop": _string_or_list_of(_string, "a string or a list of strings"),
    "tools": _list_of(_tool),
    "tool_choice": _tool_choice,
    "provider": _provider,
    "response_format": _response_format,
}
# The system takes at most some 2,000,000 s: it counts milliseconds in 31 bits.
_SECONDS = _optional(_number(0.001, 1_000_000))


def _check_json(name: str, value: Any) -> None:
    """Check that JSON can hold the value (RFC 8259 § 4, 6, 8.1)."""
    if isinstance(value, str):
        _check_text(name, value)
    elif isinstance(value, dict):
        _check_json_object(name, value)
    elif isinstance(value, (list, tuple)):
        for position, item in enumerate(value):
            _check_json("%s[%d]" % (name, position), item)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise _wrong_value(name, value, "a finite number")
    elif value is not None and not isinstance(value, int):
        allowed = "JSON (dict, list, str, finite number, bool or None)"
        raise _wrong_type(name, value, allowed)


def _check_text(name: str, value: str) -> None:
    if not value.isascii() and re.search("[\ud800-\udfff]", value):
        raise ValueError("%s holds half a surrogate pair, which is not text" % name)


def _check_json_object(name: str, value: dict[Any, Any]) -> None:
    for key, item in value.items():
        if not isinstance(key, (str, int, float, type(None))):
            raise _wrong_type("a name in " + name, key, "a string")
        _check_json("a name in " + name, key)
        _check_json("%s.%s" % (name, key), item)


# --------------------------------------------------------------------------- messages


def system(text: str) -> dict[str, Any]:
    """A system message: instructions for the whole conversation."""
    _string("text", text)
    return {"role": "system", "content": text}


def user(*parts: str | dict[str, Any]) -> dict[str, Any]:
    """A user message: one text, or several texts and parts in any order.

    *parts*: str, or what `image`, `pdf`, `audio`, `video` and `attach` give.
    """
    if not parts:
        raise ValueError("user() needs a text or a part")
    if len(parts) == 1 and isinstance(parts[0], str):
        return {"role": "user", "content": parts[0]}
    content: list[dict[str, Any]] = []
    for part in parts:
        if isinstance(part, str):
            content.append({"type": "text", "text": part})
        elif isinstance(part, dict):
            content.append(part)
        else:
            raise _wrong_type(
                "a part of user()",
                part,
                "a string or a part (for a file or bytes: image(…), attach(…))",
            )
    return {"role": "user", "content": content}


def assistant(text: str) -> dict[str, Any]:
    """An assistant message: what the model said, or is to be taken to have said."""
    _string("text", text)
    return {"role": "assistant", "content": text}


def tool_result(tool_call_id: str, content: Any) -> dict[str, Any]:
    """The message that answers a tool call.

    *tool_call_id*: the ``id`` of the call.  *content*: any JSON value: a str is sent as
    it is, a list of parts as parts, everything else as JSON text.
    """
    _nonempty("tool_call_id", tool_call_id)
    if not isinstance(content, str) and not _is_list_of_parts(content):
        if _is_deeper(content, MAX_JSON_DEPTH):
            raise ValueError("content is nested too deeply, or contains itself")
        _check_json("content", content)
        content = json.dumps(content, ensure_ascii=False)
    return {"role": "tool", "tool_call_id": tool_call_id, "content": content}


def _is_list_of_parts(value: Any) -> bool:
    if not isinstance(value, (list, tuple)) or not value:
        return False
    return all(
        isinstance(item, dict) and isinstance(item.get("type"), str) for item in value
    )


def json_schema(
    schema: Mapping[str, Any],
    name: str = "response",
    *,
    strict: bool = True,
    description: str | None = None,
) -> dict[str, Any]:
    """A ``response_format`` that asks for an answer by a JSON Schema.

    *name*: 1 to 64 of ``A-Z a-z 0-9 _ -``.
    """
    form = {"name": name, "schema": schema, "strict": strict}
    if description is not None:
        form["description"] = description
    response_format = {"type": "json_schema", "json_schema": form}
    _response_format("json_schema()", response_format)
    return response_format


# ------------------------------------------------------------------------ attachments


def image(
    source: Source, *, detail: str | None = None, media_type: str | None = None
) -> dict[str, Any]:
    """An image part: PNG, JPEG, GIF or WebP.

    *source*, here and in the other helpers: a path, bytes, an open binary file, or an
    ``http(s):`` or ``data:`` URL.  A URL is passed on and never fetched.  *detail*:
    ``"auto"``, ``"low"`` or ``"high"``.  *media_type* overrides what the content or the
    name says.  Raises ``OSError`` for what cannot be read, and ``ValueError`` or
    ``TypeError`` for what the part cannot hold.
    """
    if detail is not None:
        _one_of("auto", "low", "high")("detail", detail)
    return _build_image(_typed("image", source, media_type), detail)


def pdf(
    source: Source, *, filename: str | None = None, media_type: str | None = None
) -> dict[str, Any]:
    """A PDF part.  *source*: see `image`.  *filename*: what the model is told."""
    if filename is not None:
        _string("filename", filename)
    return _build_file(_typed("pdf", source, media_type), filename)


def audio(
    source: Source, *, format: str | None = None, media_type: str | None = None
) -> dict[str, Any]:
    """An audio part: WAV or MP3, never a URL.  *source*: see `image`.

    *format*: ``"wav"`` or ``"mp3"``, overrides what the content says.
    """
    if format is not None:
        _one_of("wav", "mp3")("format", format)
        media_type = "audio/" + format
    return _build_audio(_typed("audio", source, media_type))


def video(source: Source, *, media_type: str | None = None) -> dict[str, Any]:
    """A video part: MP4, MPEG, QuickTime or WebM.  *source*: see `image`."""
    return _build_video(_typed("video", source, media_type))


def attach(source: Source, *, media_type: str | None = None) -> dict[str, Any]:
    """The part that fits what *source* (see `image`) is.

    An image, PDF, audio, video or document, or for a text file a text part that names
    it.
    """
    content = _load("attach", source)
    if not content.url and not content.data and not content.name:
        raise content.error("empty")
    _set_type(content, media_type)
    if content.is_text():
        return _build_text(content)
    if not content.type:
        reason = "of no known type"
        if not content.url:
            reason += ", and not UTF-8 text"
        raise content.wrong_type(reason)
    _check_type(content, content.family())
    if content.family() == "image":
        return _build_image(content, None)
    if content.family() == "audio":
        return _build_audio(content)
    if content.family() == "video":
        return _build_video(content)
    return _build_file(content, None)


_ACCEPTED_TYPES = {  # by the kind of part
    "image": ("image/png", "image/jpeg", "image/gif", "image/webp"),
    "pdf": ("application/pdf",),
    "audio": ("audio/wav", "audio/mpeg"),
    "video": ("video/mp4", "video/mpeg", "video/quicktime", "video/webm"),
}
_TYPE_ALIASES = {  # other spellings, which some systems write
    "image/jpg": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "image/x-png": "image/png",
    "audio/mp3": "audio/mpeg",
    "audio/x-mp3": "audio/mpeg",
    "audio/x-wav": "audio/wav",
    "audio/wave": "audio/wav",
    "audio/vnd.wave": "audio/wav",
    "application/x-pdf": "application/pdf",
}
_OPENXML = "application/vnd.openxmlformats-officedocument."
# By the ending of a name: the system's own table differs from machine to machine.
_TYPES_BY_ENDING = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".avif": "image/avif",
    ".heic": "image/heic",
    ".pdf": "application/pdf",
    ".wav": "audio/wav",
    ".mp3": "audio/mpeg",
    ".m4a": "audio/mp4",
    ".mp4": "video/mp4",
    ".m4v": "video/mp4",
    ".mov": "video/quicktime",
    ".mpg": "video/mpeg",
    ".mpeg": "video/mpeg",
    ".webm": "video/webm",
    ".mkv": "video/x-matroska",
    ".odt": "application/vnd.oasis.opendocument.text",
    ".ods": "application/vnd.oasis.opendocument.spreadsheet",
    ".odp": "application/vnd.oasis.opendocument.presentation",
    ".doc": "application/msword",
    ".xls": "application/vnd.ms-excel",
    ".ppt": "application/vnd.ms-powerpoint",
    ".docx": _OPENXML + "wordprocessingml.document",
    ".xlsx": _OPENXML + "spreadsheetml.sheet",
    ".pptx": _OPENXML + "presentationml.presentation",
    ".epub": "application/epub+zip",
    ".rtf": "application/rtf",
}
# What a file's first bytes say, the first that matches; "." stands for any byte.
_SIGNATURES = (
    (rb"\x89PNG\r\n\x1a\n", "image/png"),
    (rb"\xff\xd8\xff", "image/jpeg"),
    (rb"GIF8[79]a", "image/gif"),
    (rb"RIFF....WEBP", "image/webp"),
    (rb"%PDF-", "application/pdf"),
    (rb"RIFF....WAVE", "audio/wav"),
    (rb"ID3[\x02-\x04]", "audio/mpeg"),
    # A frame header of MPEG audio, layer III.
    (rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb][\x00-\xef]", "audio/mpeg"),
    # ISO base media: the "brand" after ftyp says which.
    (rb"\x00...ftyp(avif|avis)", "image/avif"),
    (rb"\x00...ftyp(hei|hev|mif1|msf1)", "image/heic"),
    (rb"\x00...ftyp(M4A|M4B)", "audio/mp4"),
    (rb"\x00...ftypqt", "video/quicktime"),
    (rb"\x00...ftyp", "video/mp4"),
    (rb"\x00...(moov|wide|mdat|free)", "video/quicktime"),
    (rb"\x00\x00\x01[\xba\xb3]", "video/mpeg"),
    (rb"\x1a\x45\xdf\xa3.{0,60}webm", "video/webm"),
    (rb"\x1a\x45\xdf\xa3", "video/x-matroska"),
)


class _Content:
    """A loaded source: where it is or what it holds, and what is known of its type."""

    def __init__(self, helper: str) -> None:
        self.helper = helper  # the function that was called, for messages
        self.name = ""  # the file's name, without its folder
        self.url = ""  # of a link, which is passed on; everything else has data
        self.data = ""  # in base64
        self.claim = ""  # the type that a data: URL names
        self.type = ""  # what _set_type() made of all that
        self.is_given = False  # the caller named the type

    def error(self, reason: str) -> ValueError:
        what = repr(_printable(self.name)) if self.name else "the source"
        return ValueError("%s: %s is %s" % (self.helper, what, reason))

    def wrong_type(self, reason: str) -> ValueError:
        advice = "media_type='image/png', or FILE;type=image/png in the command"
        return self.error("%s (to override that: %s)" % (reason, advice))

    def family(self) -> str:
        """The kind of part that the type asks for."""
        if self.type == "application/pdf":
            return "pdf"
        return self.type.partition("/")[0]

    def head(self) -> bytes:
        return binascii.a2b_base64(self.data[:128])

    def is_text(self) -> bool:
        """Whether it has data that go as text: of no other type, and decodable."""
        if self.url or (self.type and not self.type.startswith("text/")):
            return False
        return self.text() is not None

    def text(self) -> str | None:
        """The data as text, or ``None`` if they are not text."""
        return _decode_text(binascii.a2b_base64(self.data), "utf-8-sig")


def _typed(helper: str, source: Any, media_type: str | None) -> _Content:
    """A loaded source whose type fits the helper."""
    content = _load(helper, source)
    if content.url:
        # Nothing is fetched: where a link's name does not tell, the helper's word has
        # to do.
        content.type = _ACCEPTED_TYPES[helper][0]
    _set_type(content, media_type)
    _check_type(content, helper)
    return content


def _set_type(content: _Content, media_type: str | None) -> None:
    """Take the caller's word, else the first bytes, the URL's label, the name."""
    if media_type is not None:
        _pattern(r"[\w.+-]+/[\w.+-]+", "like 'image/png'")("media_type", media_type)
        content.is_given = True
        content.type = _normal_type(media_type)
        return
    by_name = _TYPES_BY_ENDING.get(os.path.splitext(content.name)[1].lower(), "")
    if content.url:
        content.type = by_name or content.type
        return
    found = _type_by_signature(content.head())
    is_container = found in ("video/mp4", "video/quicktime")
    if is_container and "audio/mp4" in (by_name, content.claim):
        found = "audio/mp4"  # the same container; its brand does not always tell
    content.type = found or content.claim or by_name


def _type_by_signature(head: bytes) -> str:
    for signature, media_type in _SIGNATURES:
        if re.match(signature, head, re.DOTALL):
            return media_type
    return ""


def _normal_type(media_type: str) -> str:
    media_type = media_type.lower()
    if media_type in ("audio/m4a", "audio/x-m4a"):
        return "audio/mp4"
    return _TYPE_ALIASES.get(media_type, media_type)


def _check_type(content: _Content, kind: str) -> None:
    """Refuse a content that a part of this kind cannot hold."""
    if content.url and "audio" in (kind, content.family()):
        raise content.error(
            "a URL, but the API takes audio as data only: download it first"
        )
    if not content.url and not content.data:
        raise content.error("empty")
    accepted = _ACCEPTED_TYPES.get(kind)
    if accepted is None or content.type in accepted:  # None: a document
        return
    if not content.type:
        raise content.wrong_type("of no known type")
    if content.is_given and kind == content.family() and kind in ("image", "video"):
        return  # the caller knows what the API has learned
    raise content.wrong_type(
        "%s; the API takes %s" % (_printable(content.type), ", ".join(accepted))
    )


def _build_text(content: _Content) -> dict[str, Any]:
    name = json.dumps(content.name or "text", ensure_ascii=False)
    text = "<file name=%s>\n%s\n</file>" % (name, content.text())
    return {"type": "text", "text": text}


def _build_image(content: _Content, detail: str | None) -> dict[str, Any]:
    image_url = {"url": _data_url(content)}
    if detail is not None:
        image_url["detail"] = detail
    return {"type": "image_url", "image_url": image_url}


def _build_video(content: _Content) -> dict[str, Any]:
    return {"type": "video_url", "video_url": {"url": _data_url(content)}}


def _build_audio(content: _Content) -> dict[str, Any]:
    audio_format = "wav" if content.type == "audio/wav" else "mp3"
    audio = {"data": content.data, "format": audio_format}
    return {"type": "input_audio", "input_audio": audio}


def _build_file(content: _Content, filename: str | None) -> dict[str, Any]:
    filename = filename or content.name
    if not filename:
        endings = (
            end for end, type_ in _TYPES_BY_ENDING.items() if type_ == content.type
        )
        filename = "document" + next(endings, ".bin")
    file = {"filename": filename, "file_data": _data_url(content)}
    return {"type": "file", "file": file}


def _data_url(content: _Content) -> str:
    return content.url or "data:%s;base64,%s" % (content.type, content.data)


def _load(helper: str, source: Any) -> _Content:
    """Read a source.  What its type is, is not decided here."""
    content = _Content(helper)
    if isinstance(source, str) and re.match(r"https?:", source, re.I):
        path = urllib.parse.urlsplit(source).path
        content.url = source
        content.name = urllib.parse.unquote(path.rpartition("/")[2])
    elif isinstance(source, str) and source[:5].lower() == "data:":
        _load_data_url(content, source)
    elif isinstance(source, (str, os.PathLike)):
        _load_path(content, source)
    elif hasattr(source, "read"):
        _load_file(content, source)
    else:
        _load_bytes(content, source)
    return content


def _load_data_url(content: _Content, url: str) -> None:
    """Take a data: URL (RFC 2397) apart; white space in its data is dropped."""
    head, _, data = url.partition(",")
    data = "".join(data.split())
    is_base64 = head.lower().endswith(";base64") and not len(data) % 4
    if not is_base64 or not re.match(r"[A-Za-z0-9+/]*={0,2}\Z", data):
        raise _wrong_value(
            content.helper + ": a data: URL", url, "data:TYPE/SUBTYPE;base64,…"
        )
    content.data = data
    content.claim = _normal_type(head[5:].partition(";")[0].strip())


def _load_path(content: _Content, path: Any) -> None:
    if os.path.isdir(path):
        shown = _printable(os.fsdecode(path))
        raise ValueError("%s: %r is a directory, not a file" % (content.helper, shown))
    with open(path, "rb") as file:
        _load_file(content, file)


def _load_file(content: _Content, file: Any) -> None:
    if not isinstance(file.read(0), bytes):
        raise _wrong_source(content, file)
    name = getattr(file, "name", "")
    if isinstance(name, (str, bytes)):
        name = os.path.basename(os.fsdecode(name))
        # A name that is not UTF-8 comes with surrogates, which JSON cannot hold.
        content.name = name.encode("utf-8", "surrogateescape").decode(
            "utf-8", "replace"
        )
    content.data = _base64_of_file(file)


def _load_bytes(content: _Content, source: Any) -> None:
    try:
        view = memoryview(source).cast("B")
    except TypeError:
        raise _wrong_source(content, source) from None
    content.data = binascii.b2a_base64(view, newline=False).decode("ascii")


def _wrong_source(content: _Content, source: Any) -> TypeError:
    return TypeError(
        "%s: the source must be a path, bytes, a file opened in binary mode or a URL, "
        "not %s" % (content.helper, type(source).__name__)
    )


def _base64_of_file(file: Any) -> str:
    """What is left of a file in base64; its bytes are never held as a whole."""
    encoded = io.BytesIO()
    rest = b""
    while True:
        block = file.read(BLOCK_BYTES)  # pipes and raw files may give less
        if block is None:
            raise BlockingIOError("a file that does not block has nothing to read yet")
        if not block:
            break
        block = rest + block
        end = len(block) - len(block) % 3  # base64 takes three bytes at a time
        encoded.write(binascii.b2a_base64(block[:end], newline=False))
        rest = block[end:]
    encoded.write(binascii.b2a_base64(rest, newline=False))
    return encoded.getvalue().decode("ascii")


# ---------------------------------------------------------------------------- request


def build_request(
    messages: Messages,
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
    """The JSON body of a request: a new plain dict.  The arguments are not changed.

    *messages*: a str (one user message) or a list of message dicts.
    *model*: a str such as ``"anthropic/claude-sonnet-4.5"``.
    *stream*: whether the answer is to come in pieces.
    *temperature*: 0 to 2.  *top_p*: 0 to 1.  *max_tokens*: 1 or more.
    *frequency_penalty*, *presence_penalty*: -2 to 2.
    *stop*: a text, or several, before which the answer ends.
    *tools*: definitions of functions.
    *tool_choice*: ``"auto"``, ``"none"``, ``"required"``, or a dict that names a
    function.
    *provider*: routing, as in ``{"sort": "price"}``.
    *response_format*: see `json_schema`.
    *extra_body*: merged into the body at last.

    Any other parameter is sent as it is.  ``None`` means "not sent", except in
    *extra_body*.  Raises ``ValueError`` or ``TypeError``.
    """
    if model is None or model == "":
        raise ValueError(
            "model is missing (%r): pass model=…, or Client(model=…), "
            "or set SIRAYA_MODEL" % (model,)
        )
    body: dict[str, Any] = {
        "model": model,
        "messages": messages,
        "stream": stream,
        "temperature": temperature,
        "max_tokens": max_tokens,
        "top_p": top_p,
        "frequency_penalty": frequency_penalty,
        "presence_penalty": presence_penalty,
        "stop": stop,
        "tools": tools,
        "tool_choice": tool_choice,
        "provider": provider,
        "response_format": response_format,
        **params,
    }
    _messages("messages", messages)
    body = {name: value for name, value in body.items() if value is not None}
    for name, rule in _REQUEST_RULES.items():
        if name in body:
            rule(name, body[name])
    body["messages"] = [user(messages)] if isinstance(messages, str) else list(messages)
    if extra_body is not None:
        _object("extra_body", extra_body)
        body.update(extra_body)
    for name, value in body.items():
        if _is_deeper(value, MAX_JSON_DEPTH):
            raise ValueError("%s is nested too deeply, or contains itself" % name)
        _check_json(name, value)
    return body


if TYPE_CHECKING:

    class Params(TypedDict, total=False):
        """What editors complete in `Client.complete` and the others of its kind.

        At run time any other parameter passes; for type checkers it goes in extra_body.
        """

        temperature: float | None
        max_tokens: int | None
        top_p: float | None
        frequency_penalty: float | None
        presence_penalty: float | None
        stop: str | Sequence[str] | None
        tools: Sequence[Mapping[str, Any]] | None
        tool_choice: str | Mapping[str, Any] | None
        provider: Mapping[str, Any] | None
        response_format: Mapping[str, Any] | None
        extra_body: Mapping[str, Any] | None
        # Known, and not checked.
        n: int | None
        seed: int | None
        max_completion_tokens: int | None
        reasoning_effort: str | None
        reasoning: Mapping[str, Any] | None
        stream_options: Mapping[str, Any] | None
        usage: Mapping[str, Any] | None
        logprobs: bool | None
        top_logprobs: int | None
        parallel_tool_calls: bool | None
        user: str | None
        # Of the call, and not of its body.
        timeout: float | None
        deadline: float | None
        max_retries: int | None
        extra_headers: Mapping[str, str] | None
        extra_query: Mapping[str, Any] | None

    class CreateParams(Params, total=False):
        messages: Required[Messages]
        model: str | None


_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
# What a JSON string carries as it is (RFC 8259 § 7).
_UNESCAPED = bytes(set(range(0x20, 0x100)) - set(b'"\\'))
# Stands for a long string; no text of a request can hold it.
_PLACEHOLDER = "\ud800"


class _RequestBody:
    """A request's body, encoded block by block while it is sent, anew for each attempt.

    Long strings (attachments) stay outside of the JSON and are never copied whole.
    ``length``: its Content-Length.
    """

    def __init__(self, body: dict[str, Any]) -> None:
        self._long: list[str] = []
        short = _ENCODER.encode(self._without_long_strings(body))
        self._between = short.split(_PLACEHOLDER)
        self.length = sum(map(len, self.blocks()))

    def _without_long_strings(self, value: Any) -> Any:
        if isinstance(value, str) and len(value) > BLOCK_BYTES:
            self._long.append(value)
            return _PLACEHOLDER
        if isinstance(value, dict):
            return {
                name: self._without_long_strings(item) for name, item in value.items()
            }
        if isinstance(value, (list, tuple)):
            return [self._without_long_strings(item) for item in value]
        return value

    def blocks(self) -> Iterator[bytes]:
        """The body's bytes."""
        yield self._between[0].encode()
        for long, after in zip(self._long, self._between[1:]):
            for start in range(0, len(long), BLOCK_BYTES):
                block = long[start : start + BLOCK_BYTES].encode()
                if block.translate(None, _UNESCAPED):  # never so for base64
                    block = _ENCODER.encode(block.decode())[1:-1].encode()
                yield block
            yield after.encode()


# ----------------------------------------------------------------------------- events

Event = collections.namedtuple("Event", "event data id retry")
Event.__doc__ = """A Server-Sent Event.

``event``: its type, ``"message"`` by default.  ``data``: a str.  ``id``: the last event
id.  ``retry``: an int of milliseconds, or ``None``.
"""


class SSEParser:
    """An incremental parser of Server-Sent Events, for bytes that are cut at any place.

    It follows WHATWG HTML § 9.2.6.  Its cost is linear in the bytes.
    """

    def __init__(self) -> None:
        self._line = bytearray()  # the beginning of a line whose end has not come
        self._ended_with_cr = False  # a line feed that comes next belongs to that end
        # Until the first line is complete, a byte order mark may come.
        self._encoding = "utf-8-sig"
        self._type = ""  # of the event that is being read, and so the next two
        self._data: list[str] = []
        self._retry: int | None = None
        self._last_id = ""

    def feed(self, data: bytes | bytearray | memoryview) -> list[Event]:
        """The events that these bytes complete."""
        events: list[Event] = []
        for line in self._complete_lines(data):
            if line.startswith("data: "):  # as most lines do
                self._data.append(line[6:])
            elif line:
                self._take_field(line)
            else:
                self._dispatch(events)
        return events

    def _complete_lines(self, data: bytes | bytearray | memoryview) -> list[str]:
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError("data must be bytes, not %s" % type(data).__name__)
        block = bytes(data)
        if self._ended_with_cr and block:
            self._ended_with_cr = False
            if block.startswith(b"\n"):
                block = block[1:]
        end = max(block.rfind(b"\n"), block.rfind(b"\r")) + 1
        if not end:
            self._line += block
            return []
        self._ended_with_cr = block.endswith(b"\r")
        lines = bytes(self._line) + block[:end]
        self._line = bytearray(block[end:])
        text = lines.decode(self._encoding, "replace")  # no character is cut
        self._encoding = "utf-8"
        if "\r" in text:
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        return text[:-1].split("\n")

    def is_within_data(self) -> bool:
        """Whether a message's data has begun whose line has not ended."""
        is_message = self._type in ("", "message", "error")
        has_data = self._line.startswith(b"data:") and self._line[5:99].strip()
        return is_message and bool(has_data)

    def _take_field(self, line: str) -> None:
        name, _, value = line.partition(":")
        if value.startswith(" "):
            value = value[1:]
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._type = value
        elif name == "id" and "\0" not in value:
            self._last_id = value
        elif name == "retry" and re.match(r"[0-9]{1,1000}\Z", value):
            self._retry = int(value)

    def _dispatch(self, events: list[Event]) -> None:
        if self._data:
            kind = self._type or "message"
            data = "\n".join(self._data)
            events.append(Event(kind, data, self._last_id, self._retry))
        self._type = ""
        self._data = []
        self._retry = None


# ------------------------------------------------------------------------- assembling
#
# A fold.  Each class below collects one field: add() takes the next piece, and value()
# returns what has arrived.  _Object._new_field() chooses the class.

# The fields that come in pieces, at whatever depth.  Every other one is kept as it was
# said last.  A new field of the API also goes into _API_FIELDS, so that it reads as
# None where it is absent.
_GROWING_FIELDS = {
    "content",
    "refusal",
    "reasoning",
    "reasoning_content",
    "arguments",
    "transcript",
    "text",
    "thinking",
    "summary",
    "input",
}
# Items of a list that have an integer index are pieces of the same item if these fields
# are equal.  Tool calls have rules of their own: see _ToolCalls.
_ITEM_IDENTITY = {
    "reasoning_details": ("type", "index"),
    "content": ("type", "index"),
    "thinking": ("type", "index"),
}
# Of items without an index: the types whose next item continues the one before.
_CONTINUED_TYPES = ("text", "thinking", "reasoning.text", "reasoning.summary")
# Said once for the whole answer; servers leave them empty in later chunks.
_FIRST_SAID_FIELDS = ("id", "model", "created")
# Fields of a chunk and of a choice that are taken by name, or mean nothing outside of a
# stream.
_CHUNK_FIELDS = {"choices", "object", "obfuscation"}
# Some servers repeat the whole message beside each delta.
_CHOICE_FIELDS = {
    "index",
    "delta",
    "message",
    "finish_reason",
    "logprobs",
    "obfuscation",
}


class _LastSaid:
    """A value that comes whole; ``None`` replaces nothing."""

    def __init__(self) -> None:
        self._value: Any = None

    def add(self, value: Any) -> None:
        if value is not None:
            self._value = value

    def value(self) -> Any:
        return self._value


_EMPTY_PART = {"type": "text", "text": ""}


class _Text:
    """A text that comes in pieces, or a list of parts whose texts do."""

    def __init__(self, name: str) -> None:
        self._pieces: list[str] = []
        self._parts = _Items(name)
        self._has_parts = False
        self._other: Any = None  # a value of another type: given if no text comes

    def add(self, value: Any) -> None:
        if isinstance(value, str):
            if self._has_parts:
                self._add_parts([{"type": "text", "text": value}])
            else:
                self._pieces.append(value)
        elif isinstance(value, list) and value:
            self._add_parts(value)
        elif value is not None:
            self._other = value

    def _add_parts(self, parts: list[Any]) -> None:
        if not self._has_parts:
            self._has_parts = True
            text = "".join(self._pieces)
            if text:
                self._parts.add([{"type": "text", "text": text}])
        self._parts.add([part for part in parts if part != _EMPTY_PART])

    def value(self) -> Any:
        if self._has_parts:
            return self._parts.value()
        if self._pieces:
            return "".join(self._pieces)
        return self._other


class _Base64:
    """Base64 in pieces, each of which may have padding of its own."""

    def __init__(self) -> None:
        self._pieces: list[str] = []

    def add(self, value: Any) -> None:
        if isinstance(value, str):
            self._pieces.append(value)

    def value(self) -> str:
        joined = "".join(self._pieces)
        padded = re.findall("[^=]+=*", joined)
        if len(padded) < 2:
            return joined
        try:
            content = b"".join(map(base64.b64decode, padded))
        except ValueError:
            return joined
        return base64.b64encode(content).decode("ascii")


class _Object:
    """An object whose fields come in pieces: they are merged by their names."""

    def __init__(self, name: str = "") -> None:
        self._name = name
        self._fields: dict[str, Any] = {}

    def add(self, value: Any) -> None:
        if isinstance(value, dict):
            for name, item in value.items():
                self.add_field(name, item)

    def add_field(self, name: str, value: Any) -> None:
        field = self._fields.get(name)
        if field is None or type(field) is _LastSaid:
            field = self._fields[name] = self._field_for(name, value, field)
        field.add(value)

    def _field_for(self, name: str, value: Any, known: _LastSaid | None) -> Any:
        """The field to use.  A text, object or list takes the place of another value.

        Some servers say null first, and then a text.
        """
        if known is None:
            return self._new_field(name, value)
        if not isinstance(value, (dict, list, str)):
            return known
        field = self._new_field(name, value)
        return known if type(field) is _LastSaid else field

    def _new_field(self, name: str, value: Any) -> Any:
        if name in _GROWING_FIELDS and isinstance(value, (str, list)):
            return _Text(name)
        if not value:  # {} and [] too: what follows says what it is
            return _LastSaid()
        if name == "tool_calls" and isinstance(value, list):
            return _ToolCalls()
        if name == "data" and self._name == "audio":
            return _Base64()
        if isinstance(value, dict):
            return _Object(name)
        if isinstance(value, list):
            return _Items(name)
        return _LastSaid()

    def value(self) -> JSONObject:
        return JSONObject((name, field.value()) for name, field in self._fields.items())


class _Items:
    """A list whose items come in pieces: those are merged that are the same item."""

    def __init__(self, name: str) -> None:
        self._identity = _ITEM_IDENTITY.get(name)
        self._items: list[Any] = []  # an _Object, or a value as it came
        self._by_identity: dict[Any, _Object] = {}
        self._last_type: Any = None  # of the last item, if that is an object

    def add(self, value: Any) -> None:
        if not isinstance(value, list):
            return
        if len(self._items) > MAX_JSON_ITEMS:
            raise ResponseError("a list of more than %d items" % MAX_JSON_ITEMS)
        if self._identity is None:
            self._extend(value)
            return
        for item in value:
            if isinstance(item, dict):
                self._add_item(item)
            else:
                self._items.append(item)
                self._last_type = None

    def _extend(self, items: list[Any]) -> None:
        """Add items of which nothing is known.

        An item replaces the one of its index.
        """
        # The server sent the whole list again, perhaps longer.
        if items[: len(self._items)] == self._items:
            self._items = list(items)
            return
        for item in items:
            position = self._position_of(item)
            if position is None:
                self._items.append(item)
            else:
                self._items[position] = item

    def _position_of(self, item: Any) -> int | None:
        index = item.get("index") if isinstance(item, dict) else None
        if not isinstance(index, int):
            return None
        if len(self._items) > MAX_ITEMS:  # to search them all would take quadratic time
            return None
        for position, known in enumerate(self._items):
            if isinstance(known, dict) and known.get("index") == index:
                return position
        return None

    def _add_item(self, item: dict[str, Any]) -> None:
        known = self._known_item(item)
        if known is None:
            if len(self._items) >= MAX_LIST_ITEMS:
                raise ResponseError("a list of more than %d items" % MAX_LIST_ITEMS)
            known = _Object()
            self._items.append(known)
            self._last_type = item.get("type")
            if isinstance(item.get("index"), int):
                self._by_identity[self._identity_of(item)] = known
        known.add(item)

    def _known_item(self, item: dict[str, Any]) -> _Object | None:
        if isinstance(item.get("index"), int):
            return self._by_identity.get(self._identity_of(item))
        kind = item.get("type")
        if kind in _CONTINUED_TYPES and kind == self._last_type:
            return self._items[-1]  # type: ignore[no-any-return]
        return None

    def _identity_of(self, item: dict[str, Any]) -> str:
        # As text: a server could choose numbers that collide as keys of a dict.
        return repr([item.get(field) for field in self._identity or ()])

    def value(self) -> list[Any]:
        return [
            item.value() if isinstance(item, _Object) else item for item in self._items
        ]


class _ToolCalls:
    """The tool calls of a message.  Servers differ in how they tell them apart."""

    def __init__(self) -> None:
        self._calls: list[_ToolCall] = []
        self._by_index: dict[str, list[_ToolCall]] = {}  # the index as text: see _Items

    def add(self, value: Any) -> None:
        for piece in value if isinstance(value, list) else ():
            if isinstance(piece, dict):
                self._add_piece(piece)

    def _add_piece(self, piece: dict[str, Any]) -> None:
        call = self._call_of(piece)
        if call is None:
            if len(self._calls) >= MAX_ITEMS:
                raise ResponseError("more than %d tool calls" % MAX_ITEMS)
            index = piece.get("index")
            call = _ToolCall(index)
            self._calls.append(call)
            self._by_index.setdefault(repr(index), []).append(call)
        call.add(piece)

    def _call_of(self, piece: dict[str, Any]) -> _ToolCall | None:
        """The call that this piece continues, or ``None`` if it begins a new one.

        Its index, if it has one, narrows down which calls it may continue.  Of those:

            its id              its name    what it continues
            known               any         the call with this id
            unknown, or no id   no name     the last call
            unknown             a name      none; or the last call, if that has neither
            no id               a name      the last call, if the piece has an index
        """
        index = piece.get("index")
        call_id = piece.get("id")
        name = _name_in(piece)
        candidates = self._calls
        if index is not None:
            candidates = self._by_index.get(repr(index), [])
        for call in candidates:
            if call_id and call.id == call_id:
                return call
        last = candidates[-1] if candidates else None
        if last is None or not name:
            return last
        if call_id:
            return None if last.id or last.name else last
        return last if index is not None else None

    def value(self) -> list[JSONObject]:
        in_order = sorted(self._calls, key=lambda call: call.position())
        return [call.value() for call in in_order]


class _ToolCall:
    def __init__(self, index: Any) -> None:
        self.index = index
        self.id = ""
        self.name = ""
        self._rest = _Object()  # everything but the id, the name and the index

    def add(self, piece: dict[str, Any]) -> None:
        self.id = self.id or piece.get("id") or ""
        name = _name_in(piece)
        if name != self.name:  # servers repeat it whole, or send it in pieces
            self.name += name
        if len(self.name) > MAX_NAME_LENGTH:
            raise ResponseError("a tool's name of over %d letters" % MAX_NAME_LENGTH)
        for field, value in piece.items():
            if field == "function" and isinstance(value, dict):
                other_fields = {key: value[key] for key in value if key != "name"}
                self._rest.add_field(field, other_fields)
            elif field not in ("id", "index") and value != "":
                self._rest.add_field(field, value)

    def position(self) -> float:
        return self.index if isinstance(self.index, int) else math.inf

    def value(self) -> JSONObject:
        call = JSONObject(id=self.id) if self.id else JSONObject()
        call.update(self._rest.value())
        function = call.get("function")
        if isinstance(function, dict):
            call["function"] = JSONObject(name=self.name)
            call["function"].update(function)
        return call


def _name_in(piece: dict[str, Any]) -> str:
    """The function's name in a piece of a tool call, or ""."""
    function = piece.get("function")
    name = function.get("name") if isinstance(function, dict) else ""
    return name if isinstance(name, str) else ""


class _Choice:
    """One choice of an answer."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.finish_reason: str | None = None  # the last one that says something
        self._message = _Object()
        self._has_logprobs = False
        self._logprobs: JSONObject | None = None
        self._rest = _Object()

    def add(self, choice: JSONObject) -> None:
        self._message.add(choice.get("delta"))
        if _says_finished(choice.get("finish_reason")):
            self.finish_reason = choice["finish_reason"]
        if "logprobs" in choice:
            self._add_logprobs(choice["logprobs"])
        for name, value in choice.items():
            if name not in _CHOICE_FIELDS:
                self._rest.add_field(name, value)

    def has_content(self) -> bool:
        """Whether the message has more than its role."""
        message = self._message.value()
        return any(value for name, value in message.items() if name != "role")

    def _add_logprobs(self, value: Any) -> None:
        """Append the probabilities of further tokens, which may be equal."""
        self._has_logprobs = True
        if not isinstance(value, dict):
            return
        if self._logprobs is None:
            self._logprobs = JSONObject()
        for name, tokens in value.items():
            known = self._logprobs.get(name)
            if isinstance(known, list) and isinstance(tokens, list):
                known.extend(tokens)
            elif isinstance(tokens, list):
                self._logprobs[name] = list(tokens)
            elif tokens is not None or name not in self._logprobs:
                self._logprobs[name] = tokens

    def value(self) -> JSONObject:
        message = JSONObject(role=None, content=None)
        message.update(self._message.value())
        message.pop("obfuscation", None)
        _complete_message(message)
        choice = JSONObject(index=self.index, message=message)
        choice["finish_reason"] = self.finish_reason
        if self._has_logprobs:
            choice["logprobs"] = self._logprobs
        choice.update(self._rest.value())
        return choice


def _index_of(choice: JSONObject) -> int:
    """A choice's index; a server that leaves it out has one choice."""
    index = choice.get("index")
    return index if type(index) is int else 0


class _Assembler:
    """Folds the chunks of a stream into the `Completion` of the same whole answer."""

    def __init__(self) -> None:
        self._choices: dict[int, _Choice] = {}
        self._first_said: dict[str, Any] = {}
        self._rest = _Object()  # the chunks' other fields
        # Each field as the last chunk had it: what is repeated is not merged again.
        self._said: dict[str, Any] = {}

    def add(self, chunk: JSONObject) -> None:
        """Take a chunk; `ResponseError` if it has too many choices or calls."""
        for choice in chunk.choices:
            self._choice_at(_index_of(choice)).add(choice)
        for name, value in chunk.items():
            # Most fields are the same in each chunk.
            if name not in _CHUNK_FIELDS and self._said.get(name, _UNSET) != value:
                self._said[name] = value
                self._add_field(name, value)

    def _add_field(self, name: str, value: Any) -> None:
        if name not in _FIRST_SAID_FIELDS:
            self._rest.add_field(name, value)
        elif not self._first_said.get(name):
            self._first_said[name] = value

    def _choice_at(self, index: int) -> _Choice:
        choice = self._choices.get(index)
        if choice is None:
            if len(self._choices) >= MAX_ITEMS:
                raise ResponseError("more than %d choices" % MAX_ITEMS)
            choice = self._choices[index] = _Choice(index)
        return choice

    def is_finished(self, expected_choices: int) -> bool:
        """Whether all choices that were asked for have a finish_reason."""
        if len(self._choices) < max(expected_choices, 1):
            return False
        return all(choice.finish_reason for choice in self._choices.values())

    def has_choices(self) -> bool:
        return bool(self._choices)

    def has_content(self) -> bool:
        return any(choice.has_content() for choice in self._choices.values())

    def completion(self) -> Completion:
        """The answer so far."""
        completion = Completion(self._first_said)
        completion["object"] = "chat.completion"
        completion["choices"] = [
            choice.value() for _, choice in sorted(self._choices.items())
        ]
        completion.update(self._rest.value())
        return _mend(_copied(completion))  # type: ignore[no-any-return]


def _copied(value: Any) -> Any:
    """The value with new objects and lists: those of the chunks are the caller's."""
    if isinstance(value, list):
        return [_copied(item) for item in value]
    if isinstance(value, dict):
        items = ((name, _copied(item)) for name, item in value.items())
        return type(value)(items)
    return value


# -------------------------------------------------------------------------- transport
#
# From the outside in:
#
#   _Transport      urllib.request's handler of http: and https:, so that programs find
#                   what they know: Request objects, audit events, proxies.  Keeps the
#                   idle connections.
#   _Exchange       one request and its answer.  Whoever ends it first, its reader or
#                   close() in another thread, decides what becomes of the connection.
#   _Connection     an http.client connection.  It owns the socket, and dispose() alone
#                   closes it.  A thread that waits for the socket is woken by shutdown.
#   _Response       http.client's parser of one answer, with stricter framing.
#   _Reader         buffers for that parser; it lasts as long as the answer.
#   _SocketReader   reads the socket: sets its timeout to the time left, counts bytes.
#   _Limits         the time limits and the cancellation of one call.

_NETWORK_ERRORS = (OSError, http.client.HTTPException, zlib.error)


class _LimitPassed(OSError):
    """A time limit of the call has passed."""


class _Closed(OSError):
    """The exchange was closed, or the call cancelled, by another thread."""


class _NotConnected(OSError):
    """The connection could not be made.  *cause*: the error of the step that failed."""

    def __init__(self, message: str, cause: Exception) -> None:
        super().__init__(message)
        self.cause = cause


class _NotTrusted(_NotConnected):
    """The server's certificate, or the file to verify it with, cannot be used."""


class _ProxyRefused(OSError):
    """A proxy refused to connect us.  *status*: an int."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__("it said %d %s" % (status, reason))
        self.status = status


class _Limits:
    """How long a call may take, and whether it was cancelled.

    *timeout*: seconds of silence while we wait.  *connect_timeout*: seconds for a step
    of connecting.  *deadline*: seconds for the whole call, from now; looking up the
    host's name, which nothing can interrupt, may take longer.  ``None``: no limit.
    """

    def __init__(
        self,
        timeout: float | None,
        connect_timeout: float | None,
        deadline: float | None,
    ) -> None:
        self.timeout = timeout
        self.connect_timeout = connect_timeout
        self.deadline = deadline
        self.is_cancelled = False
        # True: any byte resets the silence.  A Stream sets False, and calls heard()
        # when something other than a heartbeat has come.
        self.counts_every_byte = True
        self._started = time.monotonic()
        self._silence = 0.0  # seconds in which we waited and heard nothing
        # When the present step of connecting began; None while not connecting.
        self._step_started: float | None = None
        self._socket: Any = None  # the one that cancel() shuts down
        self._cancelling = threading.Event()

    def begin_step(self) -> None:
        """A step of connecting begins: ``connect_timeout`` holds for it."""
        self._step_started = time.monotonic()

    def begin_exchange(self) -> None:
        """The connection is there: from now on ``timeout`` holds."""
        self._step_started = None
        self._silence = 0.0

    def heard(self) -> None:
        """The server said something."""
        self._silence = 0.0

    def waited(self, seconds: float) -> None:
        """Bytes came after so many seconds.  In a stream they may be a heartbeat."""
        if self.counts_every_byte:
            self._silence = 0.0
        else:
            self._silence += seconds

    def elapsed(self) -> float:
        return time.monotonic() - self._started

    def time_left(self) -> float | None:
        """The seconds until the nearest limit; raises if one has passed."""
        if self.is_cancelled:
            raise _Closed("the call was cancelled")
        left = min(self._left_of_step(), self._left_of_deadline())
        if left <= 0:
            raise self.passed()
        return None if left == math.inf else left

    def _left_of_step(self) -> float:
        """The seconds left by ``connect_timeout`` or ``timeout``."""
        if self._step_started is None:
            return math.inf if self.timeout is None else self.timeout - self._silence
        if self.connect_timeout is None:
            return math.inf
        return self._step_started + self.connect_timeout - time.monotonic()

    def _left_of_deadline(self) -> float:
        if self.deadline is None:
            return math.inf
        return self._started + self.deadline - time.monotonic()

    def passed(self) -> _LimitPassed:
        """The error for the limit that has passed."""
        # Timers may fire some milliseconds early.
        if self._left_of_deadline() <= min(0.01, self._left_of_step()):
            return _LimitPassed("not done after %s s (deadline)" % self.deadline)
        if self._step_started is not None:
            return _LimitPassed(
                "timed out after %s s (connect_timeout)" % self.connect_timeout
            )
        return _LimitPassed("no data for %s s (timeout)" % self.timeout)

    def explain(self, error: OSError) -> OSError:
        """The error for a socket.timeout: our limit, or a failed keep-alive probe."""
        if error.errno is not None:
            return error  # the kernel's ETIMEDOUT; that of settimeout() has no number
        return self.passed()

    def can_wait(self, seconds: float) -> bool:
        """Whether the deadline leaves that much time."""
        return seconds < self._left_of_deadline()

    def wait(self, seconds: float) -> None:
        """Wait, or until the call is cancelled."""
        end = time.monotonic() + seconds
        while not self.is_cancelled and time.monotonic() < end:
            # In slices: on Windows, Ctrl-C cannot interrupt the waiting.
            self._cancelling.wait(min(1.0, end - time.monotonic()))

    def guard(self, sock: socket.socket) -> None:
        """Have cancel() shut this socket down."""
        self._socket = sock
        if self.is_cancelled:
            raise _Closed("the call was cancelled")

    def unguard(self) -> None:
        """The socket is no longer this call's: cancel() must not touch it."""
        self._socket = None

    def cancel(self) -> None:
        """End the call, from any thread, at whatever stage it is."""
        self.is_cancelled = True
        self._cancelling.set()
        sock = self._socket
        if sock is not None:
            _shut_down(sock)


def _shut_down(sock: socket.socket) -> None:
    """Wake whoever waits for this socket, in whatever thread."""
    with contextlib.suppress(OSError):
        socket.socket.shutdown(sock, socket.SHUT_RDWR)  # TLS's own would wait


_Proxy = collections.namedtuple("_Proxy", "host port authorization")
# Where a connection leads: "http" or "https", host, port, and the proxy, or None.
_Route = collections.namedtuple("_Route", "scheme host port proxy")


class _Request(urllib.request.Request):
    """A request, and how far it has come."""

    def __init__(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: _RequestBody | None,
        limits: _Limits,
    ) -> None:
        super().__init__(url, method=method)
        self.fields = dict(headers)
        self.body = body
        self.limits = limits
        self.route: Any = None  # set by the handler, before it connects
        self.is_sent = False  # all of it
        self.status = 0  # of the answer, from its first line on

    def blocks(self) -> Iterator[bytes]:
        """The body's bytes; a large one is told to the log as it goes."""
        body: Any = self.body
        sent = logged = 0
        for block in body.blocks():
            if sent - logged >= LOG_BYTES:
                logged = sent
                _log("sending %d of %d bytes", sent, body.length)
            yield block
            sent += len(block)


def _log(message: str, *values: Any, level: int = 10) -> None:
    """Give a record to the logger "siraya_chat", if the program uses logging at all.

    *level*: 10 is DEBUG and 20 is INFO.
    """
    logging: Any = sys.modules.get("logging")
    if hasattr(logging, "getLogger"):
        logging.getLogger("siraya_chat").log(level, message, *values)


class _SocketReader(io.RawIOBase):
    """Reads from a connection's socket, within the limits of its present call."""

    def __init__(self, connection: _Connection) -> None:
        self.connection = connection
        self.is_paused = False  # set by _Reader.close(): do not read the socket
        # http.client closes its socket before the answer is read; the descriptor stays
        # open until this file is closed too.
        self._file = connection.own_socket.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self.is_paused:
            return None
        connection = self.connection
        limits = connection.limits
        connection.own_socket.settimeout(limits.time_left())
        started = time.monotonic()
        try:
            count: int = self._file.readinto(buffer)
        except socket.timeout as error:
            raise limits.explain(error) from None
        limits.waited(time.monotonic() - started)
        connection.count_received(count)
        return count

    def close(self) -> None:
        self._file.close()
        super().close()


class _Reader(io.BufferedReader):
    """The reader of one answer.  A line that is cut off is an error."""

    raw: Any  # a _SocketReader

    def readline(self, size: int | None = -1) -> bytes:
        line = super().readline(size)
        if not line.endswith(b"\n") and len(line) != size:
            raise http.client.RemoteDisconnected("within a line")
        return line

    def close(self) -> None:
        """The answer is read: note whether more than it has come into the buffer."""
        if not self.closed:
            self.raw.is_paused = True  # so that peek() looks at the buffer alone
            self.raw.connection.has_surplus = bool(self.peek(1))
        super().close()


class _Response(http.client.HTTPResponse):
    """http.client's answer, with stricter framing.

    The private names of http.client that this module uses are the methods below, and
    _tunnel() in _Connection.
    """

    fp: Any = None  # a _Reader; None in an object that Ctrl-C left half made

    def flush(self) -> None:
        """Do nothing.  close() calls it, when the reader may be closed already."""

    def _read_status(self) -> Any:
        """Read the status line.  Interim answers are skipped (RFC 9110 § 15.2)."""
        for _ in range(MAX_INTERIM_ANSWERS):
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if status >= 200:
                self.status = status  # now, in case that a header fails
                self.reason = reason.strip()
                return version, status, reason
            if status == 101:
                break
            http.client.parse_headers(self.fp)
        raise http.client.HTTPException("it sent only interim responses (1xx)")

    def begin(self) -> None:
        """Read the head.  Refuse one that leaves the body's length in doubt."""
        route = self.fp.raw.connection.route
        _log("waiting for %s", _address(route.host, route.port))
        super().begin()
        if self.chunked:
            return  # which goes before Content-Length (RFC 9112 § 6.3)
        if "Transfer-Encoding" in self.headers:
            raise http.client.HTTPException("Transfer-Encoding is not chunked")
        lengths = set(self.headers.get_all("Content-Length", []))
        if len(lengths) > 1:
            raise http.client.HTTPException("there are two values of Content-Length")
        for length in lengths:
            if not re.match(r"[0-9]{1,18}\Z", length[:20].strip()):
                raise http.client.HTTPException("Content-Length is not a number")

    def _read_next_chunk_size(self) -> int:
        """Read the head of a chunk (RFC 9112 § 7.1); its extensions are dropped."""
        line = self.fp.readline(BLOCK_BYTES)
        if not line.endswith(b"\n"):
            raise http.client.HTTPException("the head of a chunk is too long")
        size = line.partition(b";")[0].strip()
        if not size or len(size) > 15 or size.strip(b"0123456789abcdefABCDEF"):
            raise http.client.HTTPException("a chunk has no valid size")
        return int(size, 16)

    def _safe_read(self, size: int) -> bytes:
        """Read the line end behind a chunk: read1() asks for nothing else."""
        data: bytes = super()._safe_read(size)  # type: ignore[misc]
        if data != b"\r\n":
            raise http.client.HTTPException("a chunk is longer than its size says")
        return data


class _Connection(http.client.HTTPConnection):
    """A connection to a server, for one exchange after the other."""

    def __init__(self, route: _Route, context: ssl.SSLContext | None) -> None:
        place = route.proxy or route
        super().__init__(place.host, place.port)
        self.route = route
        self.context = context  # for https
        self.pid = os.getpid()  # a forked child must not use what its parent has opened
        # http.client's "sock" becomes None before the answer is read.
        self.own_socket: Any = None
        self.limits: Any = None  # those of the present call
        self.response: Any = None  # the last answer, from its first line on
        self._reader: Any = None  # of the next answer, until that takes it
        self.has_surplus = False  # more came than the last answer
        self.stage = ""  # what connect() is doing, for its errors
        self._received = 0  # bytes of the present answer, with their framing
        self._idle_since = (0.0, 0.0)  # by the monotonic and by the wall clock
        if route.proxy is not None and route.scheme == "https":
            target = _address(route.host, route.port)
            headers = {"Host": target}
            if route.proxy.authorization:
                headers["Proxy-Authorization"] = route.proxy.authorization
            self.set_tunnel(target.rpartition(":")[0], route.port, headers)

    def connect(self) -> None:
        """Reach the server: TCP, the proxy's CONNECT (RFC 9110 § 9.3.6), TLS."""
        route = self.route
        target = _address(route.host, route.port)
        self.stage = "no connection to " + target
        if route.proxy is not None:
            self.stage = "no connection to the proxy " + _address(self.host, self.port)
        _log("connecting to %s", _address(self.host, self.port))
        self.sock = self.own_socket = self._open_socket()
        if route.proxy is not None and route.scheme == "https":
            self.stage = "the proxy %s did not connect to %s" % (
                _address(self.host, self.port),
                target,
            )
            self._open_tunnel()
        if route.scheme == "https":
            self.stage = "no secure connection to " + target
            self._start_tls()

    def _open_socket(self) -> socket.socket:
        """A connected socket: the host's addresses are tried one after the other."""
        failure: Exception = OSError("the name has no address")
        host = self.host.encode("ascii")  # a str would import encodings.idna: 2 ms
        addresses = socket.getaddrinfo(host, self.port, 0, socket.SOCK_STREAM)
        for family, kind, protocol, _, address in addresses:
            try:
                sock = socket.socket(family, kind, protocol)
            except OSError as error:  # such as IPv6, which a system may lack
                failure = error
                continue
            try:
                self.limits.begin_step()
                self.limits.guard(sock)
                sock.settimeout(self.limits.time_left())
                sock.connect(address)
                _set_socket_options(sock)
                return sock
            except socket.timeout as error:
                failure = self.limits.explain(error)
            except OSError as error:
                failure = error
            except BaseException:
                sock.close()
                raise
            sock.close()
            if isinstance(failure, _Closed) or self.limits.is_cancelled:
                break
        raise failure

    def _open_tunnel(self) -> None:
        self.limits.begin_step()
        self._prepare_reader()
        try:
            self._tunnel()  # type: ignore[attr-defined]
        except OSError:  # _tunnel() raises it for any status but 200, too
            status = getattr(self.response, "status", None)
            if isinstance(status, int) and status >= 300:
                raise _ProxyRefused(status, self.response.reason) from None
            raise
        finally:
            if self.response is not None:
                self.response.close()
                self.response = None

    def _start_tls(self) -> None:
        context: Any = self.context
        self.limits.begin_step()
        self.sock = self.own_socket = context.wrap_socket(
            self.own_socket,
            server_hostname=self.route.host,
            do_handshake_on_connect=False,
        )
        self.limits.guard(self.own_socket)
        self.own_socket.settimeout(self.limits.time_left())
        try:
            self.own_socket.do_handshake()
        except socket.timeout as error:
            raise self.limits.explain(error) from None

    def response_class(  # type: ignore[override]
        self, sock: Any, **options: Any
    ) -> Any:
        """The object for an answer; http.client calls this as a class."""
        self.response = _Response(self, **options)  # type: ignore[arg-type]
        return self.response

    def _prepare_reader(self) -> None:
        """Make the reader of the next answer, before the request goes out.

        Until the answer comes is when people press Ctrl-C, and Python complains on
        standard error of a reader that is then half made.
        """
        self._reader = _Reader(_SocketReader(self), BLOCK_BYTES // 2)

    def makefile(self, mode: str) -> _Reader:
        """The reader; HTTPResponse takes the connection for a socket."""
        reader: _Reader = self._reader
        self._reader = None
        return reader

    def send(self, data: Any) -> None:
        """Send bytes; the time limit starts again whenever some have left."""
        view = memoryview(data)
        while view:
            self.own_socket.settimeout(self.limits.time_left())
            try:
                sent = self.own_socket.send(view[:SEND_BYTES])
            except socket.timeout as error:
                raise self.limits.explain(error) from None
            view = view[sent:]

    def exchange(self, request: _Request) -> None:
        """Send a request and read the head of its answer."""
        self.limits.begin_exchange()
        self._received = 0
        self.has_surplus = False
        self._prepare_reader()
        try:
            blocks = None if request.body is None else request.blocks()
            self.request(request.get_method(), request.selector, blocks, request.fields)
            request.is_sent = True
        except ConnectionError:
            # A server that refuses a request need not read all of it.  Its answer may
            # be there all the same, and http.client lets us read it.
            pass
        try:
            self.getresponse()
        finally:
            status = getattr(self.response, "status", None)
            request.status = status if isinstance(status, int) else 0
        if not request.is_sent:
            self.response.will_close = True  # the server would wait for the rest

    def count_received(self, count: int) -> None:
        self._received += count
        if self._received > MAX_WIRE_BYTES:
            raise ResponseError("the answer is larger than %d bytes" % MAX_WIRE_BYTES)

    def set_idle(self) -> None:
        self._idle_since = (time.monotonic(), time.time())

    def is_reusable(self, patience: float) -> bool:
        """Whether another request can go out.

        The rest of the last answer is read, which takes at most *patience* seconds.
        Then nothing may be left, and the server must not have closed the connection.
        """
        ages = (
            time.monotonic() - self._idle_since[0],
            time.time() - self._idle_since[1],  # goes on while the machine sleeps
        )
        if not all(0 <= age < MAX_IDLE_SECONDS for age in ages):
            return False
        try:
            self._drain(patience)
            if self.has_surplus:
                return False
            self.own_socket.settimeout(0)
            self.own_socket.recv(1)  # the end, or an answer that nobody asked for
        except (BlockingIOError, ssl.SSLWantReadError):
            return True  # open and silent
        except (ResponseError, *_NETWORK_ERRORS):
            pass
        return False

    def _drain(self, patience: float) -> None:
        """Read the rest of the last answer."""
        if self.response.isclosed():
            return
        self.limits = _Limits(None, None, patience)
        while self.response.read1(BLOCK_BYTES):
            pass
        self.response.close()

    def dispose(self) -> None:
        """Close the connection; a forked child leaves its parent's open."""
        sock, self.own_socket = self.own_socket, None
        if sock is None:
            return
        self.sock = None
        if self.pid != os.getpid():
            os.close(socket.socket.detach(sock))  # our descriptor, and nothing else
            return
        _shut_down(sock)
        if self.response is not None:
            self.response.close()
        if self._reader is not None:
            self._reader.close()
        sock.close()


def _address(host: str, port: int) -> str:
    return "%s:%d" % ("[%s]" % host if ":" in host else host, port)


def _set_socket_options(sock: socket.socket) -> None:
    """Send at once; look from time to time whether a silent peer is still there."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name in ("TCP_KEEPIDLE", "TCP_KEEPALIVE", "TCP_KEEPINTVL"):
        option = getattr(socket, name, None)  # which there are depends on the platform
        if option is not None:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, option, KEEP_ALIVE_SECONDS)


class _Exchange:
    """A request that was sent, and its answer as it arrives.

    ``status``, ``reason``, ``headers``: those of the answer.  `read` is for one thread;
    `close` may be called from any, also from a signal handler.
    """

    def __init__(
        self, transport: _Transport, connection: _Connection, request: _Request
    ) -> None:
        response = connection.response
        self.status: int = response.status
        self.reason: str = response.reason
        self.headers: http.client.HTTPMessage = response.headers
        self.limits = request.limits
        self.size = 0  # of the content that was read, unpacked
        self.max_size = MAX_ANSWER_BYTES
        self._transport = transport
        self._connection = connection
        # close() sets _is_closed, then looks at _is_reading.  read() resets
        # _is_reading, then looks at _is_closed.  So one of them disposes of the
        # connection, whichever comes first.
        self._is_reading = False  # set by the reading thread
        self._is_closed = False  # set by close(), in whatever thread
        # Acquired by the first release() or close(), and never released.
        self._ended = threading.Lock()
        self._blocks = self._content()

    def _content(self) -> Iterator[bytes]:
        coding = self.headers.get("Content-Encoding", "").strip().lower()[:50]
        if coding in ("", "identity"):
            yield from self._plain_blocks()
        elif coding in ("gzip", "x-gzip", "deflate"):
            yield from _inflate(self._plain_blocks(), coding)
        else:
            raise ResponseError("unexpected Content-Encoding %r" % coding)

    def _plain_blocks(self) -> Iterator[bytes]:
        response = self._connection.response
        while True:
            block = response.read1(BLOCK_BYTES)
            if not block:
                break
            yield block
        if response.length:
            raise ConnectionError("the last %d bytes are missing" % response.length)
        response.close()

    def read(self) -> bytes:
        """The next block of content, as it arrives; ``b""`` at its end.

        Raises ``OSError``, ``HTTPException``, ``zlib.error`` or `ResponseError`.
        """
        if self._connection.pid != os.getpid():
            raise _Closed("it belongs to the process that this one was forked from")
        self._is_reading = True
        try:
            block = next(self._blocks, b"")
        except Exception:  # whatever a socket that is closed meanwhile makes of it
            if self._is_closed:
                raise _Closed("it was closed") from None
            raise
        finally:
            self._is_reading = False
            if self._is_closed:
                self._dispose()
        if self._is_closed:
            raise _Closed("it was closed")
        self.size += len(block)
        if self.size > self.max_size:
            raise ResponseError("the answer is larger than %d bytes" % self.max_size)
        return block

    def release(self) -> None:
        """The answer is complete: keep the connection for another request.

        What follows [DONE] is read when the connection is used again.
        """
        if self._connection.response.will_close:
            self.close()
        elif self._claim_end():
            self._blocks = iter(())  # the generator would make a reference cycle
            self.limits.unguard()
            self._transport.keep(self._connection)

    def close(self) -> None:
        """End the exchange, even while another thread waits in `read`."""
        if not self._claim_end():
            return
        self._is_closed = True
        sock = self._connection.own_socket
        if self._is_reading and self._connection.pid == os.getpid():
            _shut_down(sock)  # the reader wakes, and disposes of the connection
        else:
            self._dispose()

    def _dispose(self) -> None:
        self._blocks = iter(())
        self._connection.dispose()

    def _claim_end(self) -> bool:
        """Whether this call is the first that ends the exchange."""
        return self._ended.acquire(blocking=False)


def _inflate(blocks: Iterator[bytes], coding: str) -> Iterator[bytes]:
    """Unpack ``gzip`` or ``deflate`` (RFC 9110 § 8.4.1)."""
    decoder: Any = None
    members = 0
    for received in blocks:
        block = received
        while block:
            if decoder is None or decoder.eof:  # gzip may have several members
                decoder = _decompressor(coding, block)
                members += 1
            if members > MAX_GZIP_MEMBERS:
                raise ResponseError("more than %d gzip members" % MAX_GZIP_MEMBERS)
            yield from _decompress(decoder, block)
            block = decoder.unused_data
    if decoder is not None and not decoder.eof:
        raise ConnectionError("the compressed content is incomplete")


def _decompress(decoder: Any, block: bytes) -> Iterator[bytes]:
    """What a block unpacks to, little at a time."""
    content = decoder.decompress(block, BLOCK_BYTES)
    while content:
        yield content
        if decoder.eof:  # its unconsumed_tail belongs to what follows
            break
        content = decoder.decompress(decoder.unconsumed_tail, BLOCK_BYTES)


def _decompressor(coding: str, block: bytes) -> Any:
    if coding == "deflate" and block[0] & 15 != 8:
        return zlib.decompressobj(-zlib.MAX_WBITS)  # some servers leave zlib's head out
    return zlib.decompressobj(zlib.MAX_WBITS | 32)  # gzip or zlib, as the head says


class _Transport(urllib.request.BaseHandler):
    """urllib's handler of ``http:`` and ``https:``, which keeps its connections.

    *proxy*: ``None`` for those of the system and the environment, ``""`` for none, a
    URL.
    """

    def __init__(self, proxy: str | None, context: ssl.SSLContext | None) -> None:
        self._proxy = proxy
        self._context = context
        # No lock: a deque's methods are atomic, and at the moment of a fork another
        # thread could hold it.
        self._idle: collections.deque[_Connection] = collections.deque()
        self._known_routes: dict[tuple[str, str], _Route] = {}

    def add_parent(self, parent: Any) -> None:
        """Do not keep the opener, which keeps this: a reference cycle."""

    def open(self, request: _Request) -> _Exchange:
        """Send a request.  Raises ``OSError``, ``HTTPException``, `ResponseError`."""
        # An opener without redirects, cookies, passwords, files and other schemes.
        opener = urllib.request.OpenerDirector()
        opener.add_handler(self)
        exchange: Any = opener.open(request)
        return exchange  # type: ignore[no-any-return]

    def route_to(self, url: str) -> _Route:
        """The way to the server of a URL; ``ValueError`` for an unusable proxy."""
        place = urllib.parse.urlsplit(url)
        origin = (place.scheme, place.netloc)
        if origin not in self._known_routes:
            host = place.hostname or ""
            port = place.port or (443 if place.scheme == "https" else 80)
            proxy = _find_proxy(self._proxy, place.scheme, host, port)
            self._known_routes[origin] = _Route(place.scheme, host, port, proxy)
        return self._known_routes[origin]

    def http_request(self, request: Any) -> Any:
        """Address the request; urllib calls this before it opens it."""
        request.route = self.route_to(request.full_url)
        request.fields.setdefault("Host", request.host)
        proxy = request.route.proxy
        if proxy is not None and request.route.scheme == "http":
            request.selector = request.full_url
            if proxy.authorization:
                request.fields["Proxy-Authorization"] = proxy.authorization
        return request

    def http_open(self, request: Any) -> Any:
        """Answer the request; urllib calls this."""
        connection = self._take(request.route)
        if connection is None:
            context = self._tls_context() if request.route.scheme == "https" else None
            connection = _Connection(request.route, context)
        connection.limits = request.limits
        try:
            if connection.own_socket is None:
                _connect(connection)
            else:
                request.limits.guard(connection.own_socket)
            connection.exchange(request)
            return _Exchange(self, connection, request)
        except BaseException:
            connection.dispose()
            raise

    https_request = http_request
    https_open = http_open

    def _tls_context(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = _default_context()  # takes 10 ms and more: only when needed
        return self._context

    def _take(self, route: _Route) -> _Connection | None:
        """A kept connection that can be used again, or ``None``."""
        give_up = time.monotonic() + DRAIN_SECONDS
        for connection in list(self._idle):
            if connection.route != route or connection.pid != os.getpid():
                continue
            try:
                self._idle.remove(connection)
            except ValueError:  # another thread has taken it
                continue
            if connection.is_reusable(max(0.001, give_up - time.monotonic())):
                return connection
            connection.dispose()
        return None

    def keep(self, connection: _Connection) -> None:
        connection.set_idle()
        self._idle.appendleft(connection)  # the freshest is the first to be used
        if len(self._idle) > MAX_IDLE_CONNECTIONS:
            with contextlib.suppress(IndexError):
                self._idle.pop().dispose()

    def close(self) -> None:
        """Close the idle connections."""
        with contextlib.suppress(IndexError):
            while True:
                self._idle.pop().dispose()

    __del__ = close


def _connect(connection: _Connection) -> None:
    """Connect, or raise `_NotConnected` with a sentence that says what failed."""
    try:
        connection.connect()
    except _Closed:
        raise
    except (OSError, http.client.HTTPException) as error:
        message = "%s: %s" % (connection.stage, _describe(error))
        if isinstance(error, ssl.SSLCertVerificationError):
            raise _NotTrusted(message, error) from None
        raise _NotConnected(message, error) from None


def _describe(error: BaseException) -> str:
    """What a network error says, in words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            "the server's certificate could not be verified: %s.  To trust the "
            "certificate authority of a company, name its file in SSL_CERT_FILE, or "
            "pass an ssl_context%s" % (error.verify_message, _store_advice())
        )
    if isinstance(error, (_LimitPassed, _Closed, _NotConnected, _ProxyRefused)):
        return str(error)
    if isinstance(error, ResponseError):
        return error.message
    if isinstance(error, http.client.IncompleteRead):
        return "the connection ended within the answer"
    if isinstance(error, http.client.RemoteDisconnected):
        return "the server closed the connection"
    if isinstance(error, OSError) and error.strerror:
        return "%s (%s)" % (error.strerror, type(error).__name__)
    return "%s (%s)" % (error, type(error).__name__)


def _default_context() -> ssl.SSLContext:
    """The system's certificate authorities, SSL_CERT_FILE and SSL_CERT_DIR."""
    context = ssl.create_default_context()
    file = os.environ.get("SSL_CERT_FILE")
    if file:  # one that is missing or malformed would be ignored
        try:
            context.load_verify_locations(cafile=file)
        except OSError as error:
            message = "SSL_CERT_FILE names %s, which cannot be used: %s" % (
                _quote(file),
                _describe(error),
            )
            raise _NotTrusted(message, error) from None
    return context


def _store_advice() -> str:
    """A hint, if this system has no certificate authorities at all."""
    paths = ssl.get_default_verify_paths()
    if paths.cafile is not None or (paths.capath and any(os.scandir(paths.capath))):
        return ""
    return "; this Python has no certificate authorities: the file %s is missing" % (
        paths.openssl_cafile
    )


def _find_proxy(setting: str | None, scheme: str, host: str, port: int) -> Any:
    """The proxy by the setting, or else by the environment or the system."""
    if setting is not None:
        return _parse_proxy("proxy", setting) if setting else None
    proxies = urllib.request.getproxies()
    name = scheme if proxies.get(scheme) else "all"
    url = proxies.get(name)
    if not url or urllib.request.proxy_bypass(_address(host, port)):
        return None
    for entry in proxies.get("no", "").split(","):
        if _is_bypassed(entry.strip(), host, port):
            return None
    return _parse_proxy(name + "_proxy", url)


def _is_bypassed(entry: str, host: str, port: int) -> bool:
    """Whether an entry of no_proxy names this host.

    ``*``, a name, a suffix (with or without ``*`` or a dot in front), an address, or a
    block of addresses such as ``10.0.0.0/8``; all but the last may have a port.
    """
    if entry in ("", "*"):
        return entry == "*"
    if "/" in entry or entry.count(":") > 1:
        return _is_in_block(entry, host, port)
    name, _, wanted_port = entry.partition(":")
    if wanted_port and wanted_port != str(port):
        return False
    name = name.lower()
    if name.startswith("*"):
        name = name[1:]
    name = name.lstrip(".")
    return host.lower() == name or host.lower().endswith("." + name)


def _is_in_block(entry: str, host: str, port: int) -> bool:
    import ipaddress

    bracketed = re.match(r"\[(.*)\](?::([0-9]+)|(/[0-9]+))?\Z", entry)
    if bracketed:
        entry = bracketed.group(1) + (bracketed.group(3) or "")
        if bracketed.group(2) not in (None, str(port)):
            return False
    try:
        block = ipaddress.ip_network(entry, strict=False)
        return ipaddress.ip_address(host) in block
    except ValueError:  # one of them is malformed
        return False


def _parse_proxy(name: str, url: str) -> _Proxy:
    """A proxy's URL taken apart.  It may hold a password: no error shows it."""
    scheme, separator, _ = url.strip().partition("://")
    if not separator:
        return _parse_proxy(name, "http://" + url.strip())
    if scheme.lower() != "http":
        shown = scheme if re.match(r"[A-Za-z0-9+.-]{1,20}\Z", scheme) else "its scheme"
        raise ValueError(
            "%s: %s is not supported, only plain HTTP proxies are: http://HOST:PORT"
            % (name, shown)
        )
    try:
        place = urllib.parse.urlsplit(url.strip())
        host = (place.hostname or "").encode("idna").decode("ascii")
        port = place.port or 80
        if not re.match(r"[A-Za-z0-9._:%-]+\Z", host) or place.path not in ("", "/"):
            raise ValueError
    except ValueError:
        raise ValueError(
            "%s must be http://HOST:PORT or http://USER:PASSWORD@HOST:PORT (it is not "
            "shown, since it may hold a password)" % name
        ) from None
    return _Proxy(host, port, _basic_authorization(place))


def _basic_authorization(place: Any) -> str:
    """The credentials in a URL as a header's value (RFC 7617), or ""."""
    if place.username is None:
        return ""
    user_name = urllib.parse.unquote(place.username)
    password = urllib.parse.unquote(place.password or "")
    pair = "%s:%s" % (user_name, password)
    return "Basic " + base64.b64encode(pair.encode()).decode("ascii")


# ---------------------------------------------------------------------------- streams


_INCOMPLETE = "the answer is not complete"


class _StreamedAnswer:
    """The body of a streamed answer: bytes in, chunks out.  It touches no socket.

    *mask*: takes the keys out of what an error quotes.
    """

    def __init__(self, expected_choices: int, mask: Callable[[Any], Any]) -> None:
        self.chunks: collections.deque[JSONObject] = collections.deque()
        self.is_complete = False
        self.said_something = False  # the last block held more than heartbeats
        self._expected_choices = expected_choices
        self._mask = mask
        self._assembler = _Assembler()
        self._parser = SSEParser()
        # What came before it was known what the body is, and all of a JSON document.
        self._start = bytearray()
        self._is_document: bool | None = None  # None: not known yet
        self._document: Completion | None = None  # the answer in a JSON document
        self._has_messages = False  # the chunks have messages in place of deltas

    def feed(self, block: bytes) -> None:
        """Take bytes; `ResponseError` for an error and for a malformed chunk."""
        self.said_something = False
        if self._is_document is None:
            block = self._look_at_start(block)
        if self._is_document:
            self._start += block
            self.said_something = True
        elif block:
            self._take_events(self._parser.feed(block))
            if self._parser.is_within_data():
                self.said_something = True

    def _look_at_start(self, block: bytes) -> bytes:
        """Decide by the first bytes what the body is; returns what is to be read."""
        # Blank lines before the first event say nothing.
        start = (bytes(self._start) + block).lstrip(b" \t\r\n")
        self._start.clear()
        if len(start) < 4 and b"\xef\xbb\xbf".startswith(start):  # of a byte order mark
            self._start += start
            return b""
        first = start[3:] if start.startswith(b"\xef\xbb\xbf") else start
        self._is_document = first.lstrip().startswith((b"{", b"[", b"<"))
        return start

    def _take_events(self, events: list[Event]) -> None:
        for event in events:
            if not self.is_complete:
                self._take_event(event)

    def _take_event(self, event: Event) -> None:
        data = event.data.strip()
        if data.startswith("[DONE]"):
            if not self.has_choices():
                raise ResponseError(
                    "the service gave no answer: its stream has no choice"
                )
            self.is_complete = True
        elif event.event == "error":
            self._raise_reported(data)
        elif data and (event.event == "message" or _is_chunk(data)):
            self.said_something = True
            self._take_chunk(_decode_chunk(data, self._mask))

    def _raise_reported(self, data: str) -> None:
        body, words = _read_error_body(data, self._mask)
        message = "the service reported: " + (words or "no reason was given")
        raise ResponseError(message, body)

    def _take_chunk(self, chunk: Any) -> None:
        if _is_usual_chunk(chunk):
            self._assembler.add(chunk)
            self.chunks.append(chunk)
        else:
            self._take_unusual_chunk(chunk)

    def _take_unusual_chunk(self, chunk: Any) -> None:
        """Take a chunk that may be an error; the text beside an error is not lost."""
        if not _choices_of(chunk):
            _raise_if_error(chunk, self._mask)
        _check_choices(chunk, "delta", self._mask)
        for choice in chunk.choices:
            if choice.get("delta") is None and _is_object(choice.get("message")):
                self._take_message(choice)
        self._assembler.add(chunk)
        self.chunks.append(chunk)
        _raise_if_error(chunk, self._mask)

    def _take_message(self, choice: JSONObject) -> None:
        """Take a message in place of a delta, as some servers stream.

        Others repeat the whole message in the last chunk, which adds nothing.
        """
        if self._has_messages or not self._assembler.has_content():
            self._has_messages = True
            choice["delta"] = choice.pop("message")

    def end(self, is_whole: bool) -> str:
        """The body has ended.  Returns what could not be used of it.

        *is_whole*: by HTTP's framing nothing is missing.  Sets ``is_complete`` if the
        answer is there.
        """
        if self._is_document:
            return self._end_document(is_whole)
        rest = self._end_events(is_whole)
        if self._assembler.is_finished(self._expected_choices):
            self.is_complete = True
        return rest

    def _end_document(self, is_whole: bool) -> str:
        text = self._start.decode("utf-8", "replace")
        if not is_whole:
            return text
        self._document = _parse_completion(text, self._mask)
        self.chunks.append(_as_chunk(self._document))
        self.is_complete = True
        return ""

    def _end_events(self, is_whole: bool) -> str:
        """Finish an event whose blank line did not come.

        Where the body was cut off, so may the event be: only [DONE] is taken then.
        """
        for event in self._parser.feed(b"\n\n"):
            is_done = event.data.lstrip().startswith("[DONE]")
            if not is_whole and not is_done:
                return event.data  # type: ignore[no-any-return]
            try:
                self._take_events([event])
            except ResponseError:
                if event.event == "error" or _is_json(event.data):
                    raise
                return event.data  # type: ignore[no-any-return]
        return ""

    def has_choices(self) -> bool:
        """Whether a part of the answer has arrived."""
        return self._assembler.has_choices()

    def completion(self) -> Completion:
        """The answer so far."""
        if self._document is not None:
            return _copied(self._document)  # type: ignore[no-any-return]
        return self._assembler.completion()


def _as_chunk(completion: Completion) -> JSONObject:
    """A whole answer as the only chunk of a stream."""
    chunk = JSONObject(_copied(completion))
    chunk["object"] = "chat.completion.chunk"
    for position, choice in enumerate(chunk.choices):
        choice["delta"] = choice.pop("message", None)
        choice.setdefault("index", position)
    return chunk


def _is_json(data: str) -> bool:
    try:
        _decode_json(data)
    except ValueError:
        return False
    return True


def _is_chunk(data: str) -> bool:
    """Whether the data of an event of an unknown type is a chunk, and no heartbeat."""
    try:
        value = _decode_json(data)
    except ValueError:
        return False
    return isinstance(value, dict) and isinstance(value.get("choices"), list)


def _looks_like_events(text: str) -> bool:
    """Whether a body that should be a document is an event stream."""
    fields = ("data:", "event:", "id:", "retry:", ":")
    return text.lstrip("\ufeff \t\r\n").startswith(fields)


class TextReader:
    """Takes the text out of chunks: that of choice 0, or of the only one.

    Half of a surrogate pair waits for the other half.
    """

    def __init__(self, expected_choices: int) -> None:
        # Of the choice that is read.  None: the first that comes; choice 0 takes over
        # if it comes later.
        self._index = None if expected_choices <= 1 else 0
        self._held = ""

    def read(self, chunk: JSONObject) -> str:
        """The text of a chunk."""
        text = self._held
        for choice in chunk.choices:
            index = _index_of(choice)
            if self._index is None or index == 0:
                self._index = index
            if index == self._index:
                text += _text_of(choice.delta.content)
        self._held = text[-1:] if "\ud800" <= text[-1:] <= "\udbff" else ""
        return _mend(text[: len(text) - len(self._held)])  # type: ignore[no-any-return]

    def end(self) -> str:
        """What is left behind the last chunk."""
        return _mend(self._held)  # type: ignore[no-any-return]


class Stream:
    """An answer as it is generated: an iterator over its chunks (`JSONObject`).

    The end of the loop means that the answer is complete.  Whatever cuts it short,
    `close` included, is a `StreamError` after the last chunk.  `close` (from any
    thread), leaving ``with`` and dropping the stream end the request.  A stream is for
    one consumer.

    ``headers``: those of the HTTP answer, a case-insensitive mapping.  ``request_id``:
    a str or ``None``.
    """

    def __init__(
        self,
        exchange: _Exchange,
        headers: Mapping[str, str],
        expected_choices: int,
        mask: Callable[[Any], Any],
    ) -> None:
        self.headers = headers
        self.request_id = headers.get("x-request-id")
        # "open", then once and for all "complete", "failed" (both set by the consumer's
        # thread) or "closed" (set by whoever calls close()).
        self._state = "open"
        self._failure: tuple[str, Any] = ("", None)  # the error's message and body
        self._exchange = exchange
        self._mask = mask
        self._answer = _StreamedAnswer(expected_choices, mask)
        self._expected_choices = expected_choices
        exchange.limits.counts_every_byte = False

    def __iter__(self) -> Stream:
        return self

    def __next__(self) -> JSONObject:
        chunks = self._answer.chunks
        while not chunks:
            if self._state == "complete":
                raise StopIteration
            if self._state != "open":
                raise self._error()
            self._read_more()
        return chunks.popleft()

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """End the request.  Chunks that have arrived can still be read."""
        self._end("closed")

    def __del__(self) -> None:
        if hasattr(self, "_answer"):
            self.close()

    @property
    def text_stream(self) -> Iterator[str]:
        """The pieces of the first choice's text, as they arrive."""
        reader = self.text_reader()
        for chunk in self:
            text = reader.read(chunk)
            if text:
                yield text
        rest = reader.end()
        if rest:
            yield rest

    def text_reader(self) -> TextReader:
        """What `text_stream` reads the chunks with."""
        return TextReader(self._expected_choices)

    def get_final_completion(self) -> Completion:
        """Read what is left.

        Returns the `Completion` that the answer would have been without streaming.
        Raises `StreamError` if it is not complete.
        """
        for _ in self:
            pass
        return self._so_far()

    def _so_far(self) -> Completion:
        completion = self._answer.completion()
        completion._set_headers(self.headers)
        return completion

    def _error(self) -> StreamError:
        if self._state == "closed":
            message, body = "the stream was closed before its end", None
        else:
            message, body = self._failure
        return StreamError(message, body, self._so_far())

    def _end(self, state: str) -> None:
        """The first end holds."""
        if self._state == "open":
            self._state = state
        if self._state == "complete":
            self._exchange.release()
        else:
            self._exchange.close()

    def _fail(self, message: str, body: Any) -> None:
        """The stream has failed; no effect if it was closed meanwhile."""
        self._failure = (message, body)
        self._end("failed")

    def _read_more(self) -> None:
        """Read a block, and perhaps the end."""
        answer = self._answer
        try:
            block = self._exchange.read()
            if block:
                answer.feed(block)
                if answer.said_something:
                    self._exchange.limits.heard()
                if answer.is_complete:
                    self._end("complete")
            else:
                rest = answer.end(is_whole=True)
                self._body_ended(rest, "the stream ended", _INCOMPLETE)
        except ResponseError as error:
            self._fail(self._mask(error.message), error.body)
        except _NETWORK_ERRORS as error:
            self._connection_lost(error)
        except BaseException:  # such as Ctrl-C: what a read has lost is not known
            self._fail("the reading was interrupted", None)
            raise

    def _connection_lost(self, error: Exception) -> None:
        """The connection failed: the answer may be there all the same."""
        if self._state == "closed":
            return  # by close(), in another thread
        try:
            rest = self._answer.end(is_whole=False)
        except ResponseError as reported:
            self._fail(reported.message, reported.body)
        else:
            what = "the connection was lost"
            if isinstance(error, _LimitPassed):
                what = "a time limit passed"
            self._body_ended(rest, what, self._mask(_describe(error)))

    def _body_ended(self, rest: str, what: str, reason: str) -> None:
        """The body has ended, or the connection has: is the answer there?"""
        if self._answer.is_complete:
            self._end("complete")
            return
        size = len(self._so_far().text)
        message = "%s after %d characters: %s" % (what, size, reason)
        self._fail(message, self._mask(rest) or None)


# ----------------------------------------------------------------------------- client

# Not for the caller to set: they say how long the body is.
_FRAMING_HEADERS = ("content-length", "transfer-encoding")
_LOOPBACK = r"(localhost|127\.[0-9.]+|::1)\Z"


class _Endpoint:
    """A base URL taken apart: where the API is."""

    def __init__(self, name: str, url: str) -> None:
        _secret_string(name, url)
        url = url.strip()
        if url.startswith(("'", '"')) or url.endswith(("'", '"')):
            raise ValueError(
                "%s must not be in quotes: %s" % (name, _without_user(url))
            )
        try:
            place = urllib.parse.urlsplit(url)
            host = place.hostname or ""
            if not host.isascii():
                host = _ascii_host(host)
            port = place.port
        except ValueError:  # a malformed port, IPv6 address or name
            raise self._wrong_url(name, url) from None
        is_plain = re.match(r"https?://[^\s\x00-\x1f#@%\\]+\Z", url, re.I)
        if not is_plain or port == 0 or not _is_host(host):
            raise self._wrong_url(name, url)
        if not re.match(r"[!-~]*\Z", place.path + place.query):
            raise self._wrong_url(name, url)
        self.scheme = place.scheme.lower()
        self.host = host
        self.port = port or (443 if self.scheme == "https" else 80)
        self.netloc = "[%s]" % host if ":" in host else host
        if port is not None:
            self.netloc += ":%d" % port
        self.path = place.path.rstrip("/")
        if self.path.endswith("/chat/completions"):
            self.path = self.path[: -len("/chat/completions")].rstrip("/")
        self.query = place.query

    @staticmethod
    def _wrong_url(name: str, url: str) -> ValueError:
        return _wrong_value(name, _without_user(url), "http(s)://HOST[:PORT][/PATH]")

    def base_url(self) -> str:
        """The base URL in its plainest form."""
        query = "?" + self.query if self.query else ""
        return "%s://%s%s%s" % (self.scheme, self.netloc, self.path, query)

    def url(self, path: str, query: Mapping[str, Any] | None = None) -> str:
        """The URL of a path below the base URL, with a query beside its own."""
        parts = [self.query, urllib.parse.urlencode(query or {}, doseq=True)]
        joined = "&".join(part for part in parts if part)
        url = "%s://%s%s%s" % (self.scheme, self.netloc, self.path, path)
        return url + "?" + joined if joined else url


def _without_user(url: str) -> str:
    """A URL without the name and the password that may stand in it."""
    lookalikes = "\uff20\ufe6b"  # which urllib takes for @
    _, at, after = re.sub("[%s]" % lookalikes, "@", url).rpartition("@")
    if not at:
        return url
    scheme = re.match(r"https?://", url, re.I)
    return (scheme.group() if scheme else "") + "…@" + after


def _is_host(host: str) -> bool:
    """Whether it is an address, or a name whose labels DNS allows (RFC 1035 § 2.3)."""
    name = host[:-1] if host.endswith(".") else host
    has_labels = all(0 < len(label) < 64 for label in name.split("."))
    return has_labels and bool(re.match(r"[A-Za-z0-9._:-]+\Z", host))


def _ascii_host(host: str) -> str:
    """A host name in its ASCII form; ``ValueError`` for lookalikes."""
    encoded = host.encode("idna")
    if encoded.decode("idna") != host:
        raise ValueError
    return encoded.decode("ascii")


def _is_secret(header: str) -> bool:
    """Whether the header's value may be a secret: Authorization, X-Api-Key …"""
    return bool(re.search("auth|key|token|secret|cookie", header, re.I))


def _has_key(headers: Iterable[str]) -> bool:
    """Whether one of the headers may tell the service who calls."""
    others = ("Proxy-Authorization", "Idempotency-Key")
    return any(_is_secret(name) for name in headers if name not in others)


def _check_headers(name: str, headers: Any) -> dict[str, str]:
    """Headers as RFC 9110 § 5 allows them.  No value is shown: it may be a secret."""
    if headers is None:
        return {}
    if not hasattr(headers, "items"):
        raise TypeError("%s must be a dict, not %s" % (name, type(headers).__name__))
    checked = {}
    for field, value in headers.items():
        if not isinstance(field, str) or not re.match(
            r"[A-Za-z0-9!#$%&'*+.^`|~_-]+\Z", field
        ):
            raise ValueError(
                "%s: %s is not a valid header name" % (name, _quote(field))
            )
        if field.lower() in _FRAMING_HEADERS:
            raise ValueError("%s: %s cannot be set" % (name, field))
        if not isinstance(value, str) or not re.match(r"[\t -~\xa0-\xff]*\Z", value):
            raise ValueError(
                "%s: the value of %s must be one line of Latin-1" % (name, field)
            )
        checked[field.title()] = value
    return checked


def _check_key(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(
            "%s must be a string, or a plain function that returns one, not %s"
            % (name, type(value).__name__)
        )
    key = value.strip()
    if not re.match(r"[!-~]*\Z", key):
        raise ValueError(
            "%s (SIRAYA_API_KEY) must contain only printable ASCII characters "
            "(its value is not shown)" % name
        )
    if key.startswith(("'", '"')) or key.endswith(("'", '"')):
        raise ValueError("%s (SIRAYA_API_KEY) must not be in quotes" % name)
    return key


def _key_or_function(name: str, value: Any) -> None:
    if not callable(value):
        _check_key(name, value)


def _proxy_setting(name: str, value: Any) -> None:
    _secret_string(name, value)
    if value:
        _parse_proxy(name, value)


def _ssl_context(name: str, value: Any) -> None:
    if not isinstance(value, ssl.SSLContext):
        raise _wrong_type(name, value, "an ssl.SSLContext")


# The settings of a client.
_SETTING_RULES: dict[str, Rule] = {
    "api_key": _key_or_function,
    "base_url": _secret_string,  # and what _Endpoint makes of it
    "model": _optional(_string),
    "timeout": _SECONDS,
    "connect_timeout": _SECONDS,
    "deadline": _SECONDS,
    "max_retries": _integer(0),
    "headers": _check_headers,
    "ssl_context": _optional(_ssl_context),
    "proxy": _optional(_proxy_setting),
}
# The arguments of a call that are not parameters of its body.
_CALL_OPTION_RULES: dict[str, Rule] = {
    "timeout": _SECONDS,
    "deadline": _SECONDS,
    "max_retries": _optional(_integer(0)),
    "extra_headers": _check_headers,
    "extra_query": _optional(_object),
}


# An attempt that failed: its error, whether another attempt may help, and the reason in
# a word or two, for the log.
_Failure = collections.namedtuple("_Failure", "error may_retry reason")

# Whether another attempt may help is decided here: by the status of the answer, by the
# error in an answer, by the error that came in place of one.  How long to wait before
# it is decided in Call._wait_before_retry().

# Statuses that say "not now", and error codes that do so in an answer of 2xx.
_RETRIED_STATUSES = (408, 409, 429)


def _may_retry_status(status: int) -> bool:
    return status in _RETRIED_STATUSES or status >= 500


def _may_retry_error(error: ResponseError) -> bool:
    """Whether a whole answer of 2xx is nothing but an error that says "not now".

    This is the one case in which a request is sent again after a 2xx.  A code of 5xx in
    a 2xx is not retried, since the model may have run.  An error in a stream is raised
    by the stream.
    """
    if isinstance(error, StreamError):
        return False  # a part of the answer came before it
    body = error.body
    is_error_alone = isinstance(body, dict) and not body.get("choices")
    return is_error_alone and str(error.code) in map(str, _RETRIED_STATUSES)


def _may_retry_unanswered(request: _Request, error: Exception) -> bool:
    """Whether to send a request again that got no head of an answer."""
    if isinstance(error, (_NotTrusted, _Closed, ResponseError)):
        return False
    if isinstance(error, _NotConnected):
        # What a proxy refuses with a 4xx, it will refuse again.
        cause = error.cause
        return not isinstance(cause, _ProxyRefused) or cause.status >= 500
    if 200 <= request.status < 300:
        return False  # the server began to answer: the request may be billed already
    if isinstance(error, _LimitPassed):
        return not request.is_sent  # a second one would be billed, and as slow
    return True


class Call:
    """One call of the user: its attempts, time limits, cancellation and log lines.

    `Client.prepare` makes it, `run` carries it out in this thread, and `cancel` ends it
    from another one.
    """

    def __init__(
        self,
        transport: _Transport,
        method: str,
        url: str,
        body: dict[str, Any] | None,
        limits: _Limits,
        max_retries: int,
        headers: Callable[[], dict[str, str]],
        read_answer: Callable[[Call, _Exchange], Any],
    ) -> None:
        self.body = body
        self._transport = transport
        self._method = method
        self._url = url
        self._shown_url = url.partition("?")[0]  # a query may hold a key
        self._encoded = None if body is None else _RequestBody(body)
        self._limits = limits
        self._max_retries = max_retries
        self._headers = headers  # asked before each attempt: a key may expire
        self._read_answer = read_answer
        self._secrets: list[str] = []  # the keys that were used

    def cancel(self) -> None:
        """End the call, from any thread, at whatever stage it is."""
        self._limits.cancel()

    def mask(self, value: Any) -> Any:
        """A text or a JSON value without the keys of this call."""
        return _mask(value, self._secrets)

    def masked_headers(self, exchange: _Exchange) -> Any:
        """The answer's headers, a case-insensitive mapping, without the keys."""
        headers = http.client.HTTPMessage()
        for name, value in exchange.headers.items():
            headers[name] = self.mask(value)
        return headers

    def run(self) -> Any:
        """Carry the call out: the answer, or the error of the last attempt."""
        attempt = 0
        while True:
            outcome = self._attempt()
            if not isinstance(outcome, _Failure):
                return outcome
            wait = self._wait_before_retry(outcome, attempt)
            if wait is None:
                error = outcome.error
                del outcome  # its traceback would make a reference cycle
                self._add_history(error, attempt)
                raise error
            attempt += 1
            _log(
                "%s: retrying in %.1f s (%d of %d)",
                outcome.reason,
                wait,
                attempt,
                self._max_retries,
                level=20,
            )
            self._limits.wait(wait)
            if self._limits.is_cancelled:
                raise outcome.error

    def _wait_before_retry(self, failure: _Failure, attempt: int) -> float | None:
        """The seconds to wait before the next attempt; ``None``: there is none."""
        if not failure.may_retry or attempt >= self._max_retries:
            return None
        if self._limits.is_cancelled:
            return None
        wait = getattr(failure.error, "retry_after", None)
        if wait is None:
            span = min(MAX_BACKOFF, MIN_BACKOFF * 2.0 ** min(attempt + 1, 10))
            wait = random.uniform(MIN_BACKOFF, max(MIN_BACKOFF, span))
        elif wait > MAX_RETRY_AFTER:
            return None
        return wait if self._limits.can_wait(wait) else None

    def _add_history(self, error: SirayaError, attempt: int) -> None:
        """Have the error say how often and how long the call was tried."""
        if attempt == 0:
            return
        note = "tried %d times in %.1f s" % (attempt + 1, self._limits.elapsed())
        request_id = getattr(error, "request_id", None)
        if request_id:
            note += ", request id " + _cut(_printable(request_id), 100)
        error._add_note(" (%s)" % note)

    def _attempt(self) -> Any:
        """Send the request once: the answer, or a _Failure."""
        request = self._request()
        started = time.monotonic()
        try:
            exchange = self._transport.open(request)
        except (ResponseError, *_NETWORK_ERRORS) as error:
            failure = self._no_answer(request, error)
            _log(
                "%s %s: %s after %.3f s",
                self._method,
                self._shown_url,
                type(failure.error).__name__,
                time.monotonic() - started,
            )
            return failure
        _log(
            "%s %s: %d in %.3f s, request id %s, %d bytes sent",
            self._method,
            self._shown_url,
            exchange.status,
            time.monotonic() - started,
            _printable(self.mask(exchange.headers.get("x-request-id", "-"))),
            self._encoded.length if self._encoded else 0,
        )
        if exchange.status >= 300:
            return self._status_failure(request, exchange)
        try:
            return self._read_answer(self, exchange)
        except ResponseError as error:
            error.retry_after = _retry_after(exchange.headers)
            return _Failure(error, _may_retry_error(error), str(error.code))
        except APIConnectionError as error:  # it broke off
            return _Failure(error, False, "")

    def _request(self) -> _Request:
        headers = self._headers()
        proxy = self._transport.route_to(self._url).proxy
        secrets = {name: headers[name] for name in headers if _is_secret(name)}
        if proxy is not None:
            secrets["Proxy-Authorization"] = proxy.authorization
        for name, value in secrets.items():
            secret = value
            if name.endswith("Authorization"):  # "Bearer KEY" (RFC 9110 § 11.4)
                secret = re.sub(r"^\S+\s+", "", value)
            self._secrets.append(secret)
        if self._encoded is not None:
            headers["Content-Length"] = str(self._encoded.length)
        return _Request(self._method, self._url, headers, self._encoded, self._limits)

    def _no_answer(self, request: _Request, error: Exception) -> _Failure:
        """The failure of an attempt that brought no head of an answer."""
        may_retry = _may_retry_unanswered(request, error)
        message = self._describe_no_answer(request, error)
        cause = error.cause if isinstance(error, _NotConnected) else error
        if isinstance(cause, ResponseError):
            return _Failure(ResponseError(message), may_retry, "no answer")
        if isinstance(cause, _LimitPassed):
            return _Failure(APITimeoutError(message), may_retry, "time limit")
        return _Failure(APIConnectionError(message), may_retry, "no answer")

    def _describe_no_answer(self, request: _Request, error: Exception) -> str:
        description: str = self.mask(_describe(error))
        if isinstance(error, _NotConnected):
            return description
        message = "no answer from %s: %s" % (self._shown_url, description)
        if request.route is not None and request.route.proxy is not None:
            proxy = request.route.proxy
            message += " (through the proxy %s)" % _address(proxy.host, proxy.port)
        return message

    def _status_failure(self, request: _Request, exchange: _Exchange) -> _Failure:
        """The failure of an attempt that was answered with another status than 2xx."""
        exchange.max_size = MAX_ERROR_BODY_BYTES
        content, _ = _read_all(exchange)
        body, said = _read_error_body(content.decode("utf-8", "replace"), self.mask)
        status = exchange.status
        error = _status_error(
            status,
            self.mask(exchange.reason),
            self.masked_headers(exchange),
            body,
            said,
            self._advice(status, request),
        )
        return _Failure(error, _may_retry_status(status), str(status))

    def _advice(self, status: int, request: _Request) -> str:
        """What to try where the proxy's password or the path may be wrong.

        A 407 comes here for plain http; for https it answers CONNECT: _open_tunnel().
        """
        proxy = request.route.proxy
        if status in (401, 407) and proxy is not None:
            return "it came through the proxy " + _address(proxy.host, proxy.port)
        if status not in (404, 405):
            return ""
        advice = "the URL was " + self._shown_url
        if "/v1/v1/" in self._shown_url:
            return advice + ": base_url has /v1 twice"
        if not re.search(r"/v[0-9]+[a-z0-9]*/", self._shown_url):
            return advice + ": most servers want base_url to end in /v1"
        return advice

    def lost(self, error: Exception, content: bytearray) -> SirayaError:
        """The error for an answer that broke off; what had arrived is its body."""
        text = self.mask(content.decode("utf-8", "replace"))
        reason = self.mask(_describe(error))
        message = "the answer broke off after %d characters: %s" % (len(text), reason)
        if isinstance(error, (ResponseError, zlib.error)):
            return ResponseError(message, text)
        if isinstance(error, _LimitPassed):
            return APITimeoutError(message, text)
        return APIConnectionError(message, text)


def _read_all(exchange: _Exchange) -> tuple[bytearray, Exception | None]:
    """The content, and the error that kept it from being whole, if there was one."""
    content = bytearray()
    try:
        while True:
            block = exchange.read()
            if not block:
                break
            content += block
    except (ResponseError, *_NETWORK_ERRORS) as error:
        exchange.close()
        return content, error.with_traceback(None)  # which would hold the request
    except BaseException:
        exchange.close()
        raise
    exchange.release()
    return content, None


def _read_text(call: Call, exchange: _Exchange) -> str:
    """The whole body as text; raises what `Call.lost` makes of one that broke off."""
    content, error = _read_all(exchange)
    if error is not None:
        failure = call.lost(error, content)
        del error  # its traceback would make a reference cycle
        raise failure
    return content.decode("utf-8", "replace")


def _read_completion(call: Call, exchange: _Exchange) -> Completion:
    text = _read_text(call, exchange)
    headers = call.masked_headers(exchange)
    # Some servers stream although nobody asked for it.
    if _looks_like_events(text):
        completion = _parse_events(text, _expected_choices(call), call.mask, headers)
    else:
        completion = _parse_completion(text, call.mask)
    completion._set_headers(headers)
    return completion


def _parse_events(
    text: str,
    expected_choices: int,
    mask: Callable[[Any], Any],
    headers: Mapping[str, str],
) -> Completion:
    """The answer in a whole event stream; `StreamError` if it is not complete."""
    answer = _StreamedAnswer(expected_choices, mask)
    message, body = "the stream ended: " + _INCOMPLETE, None
    try:
        answer.feed(text.encode())
        body = mask(answer.end(is_whole=True)) or None
    except ResponseError as error:
        if not answer.has_choices():  # the error is all that came
            raise
        message, body = error.message, error.body
    completion = answer.completion()
    if not answer.is_complete:
        completion._set_headers(headers)
        raise StreamError(message, body, completion)
    return completion


def _open_stream(call: Call, exchange: _Exchange) -> Stream:
    headers = call.masked_headers(exchange)
    return Stream(exchange, headers, _expected_choices(call), call.mask)


def _expected_choices(call: Call) -> int:
    expected = (call.body or {}).get("n")
    return expected if isinstance(expected, int) else 1


class _List(list):  # type: ignore[type-arg]
    """A list that is its own ``data``, as a page of the OpenAI SDK has."""

    @property
    def data(self) -> list[JSONObject]:
        return self


def _read_list(call: Call, exchange: _Exchange) -> list[JSONObject]:
    text = _read_text(call, exchange)
    try:
        value = _decode_json(text)
    except ValueError as reason:
        quoted = _cut(call.mask(text), MAX_QUOTED_LENGTH)
        message = "not a list of models (%s): %r" % (reason, quoted)
        raise ResponseError(message, call.mask(text)) from None
    items = value.get("data") if isinstance(value, dict) else value
    if not isinstance(items, list) or not all(map(_is_object, items)):
        _raise_if_error(value, call.mask)
        raise ResponseError("not a list of models", call.mask(value))
    return _List(items)


class _Chat:
    """``client.chat`` of the OpenAI SDK."""

    def __init__(self, client: Any) -> None:
        self.completions = _Completions(client)


class _Completions:
    """``client.chat.completions`` of the OpenAI SDK."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def create(
        self,
        *,
        messages: Messages,
        model: str | None = None,
        stream: bool | None = False,
        **params: Any,
    ) -> Any:
        """`Client.stream` if *stream* is true, else `Client.complete`."""
        if stream is not None:
            _boolean("stream", stream)
        if stream:
            return self._client.stream(messages, model, **params)
        return self._client.complete(messages, model, **params)


class _Models:
    """``client.models`` of the OpenAI SDK."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def list(self, **options: Any) -> Any:
        """What the service offers: see `Client.list_models`."""
        return self._client.list_models(**options)


if TYPE_CHECKING:
    # client.chat as type checkers see it: Whole is what create() gives without
    # stream=True, and Pieces with it.
    Whole = TypeVar("Whole", covariant=True)
    Pieces = TypeVar("Pieces", covariant=True)
    Result = TypeVar("Result")
    Awaited = Coroutine[Any, Any, Result]

    class TypedCompletions(Protocol[Whole, Pieces]):
        @overload
        def create(
            self, *, stream: Literal[True], **params: Unpack[CreateParams]
        ) -> Pieces: ...
        @overload
        def create(
            self, *, stream: Literal[False] | None = ..., **params: Unpack[CreateParams]
        ) -> Whole: ...
        @overload
        def create(
            self, *, stream: bool, **params: Unpack[CreateParams]
        ) -> Whole | Pieces: ...

    class TypedChat(Protocol[Whole, Pieces]):
        @property
        def completions(self) -> TypedCompletions[Whole, Pieces]: ...


class BaseClient:
    """The settings of `Client` and `AsyncClient`, and the calls made of them.

    Threads and forked processes can share it.  It can be pickled if *ssl_context* is
    not set.

    *api_key*: a str, or a function without arguments that returns one; it is called
    before each attempt.  *base_url*: may end with a slash or ``/chat/completions``, and
    may have a query.  *model*: for calls that name none.  These three default to
    ``SIRAYA_API_KEY``, ``SIRAYA_BASE_URL`` (or https://llm.siraya.pro/v1) and
    ``SIRAYA_MODEL``.

    *timeout*: how many seconds the server may send no data while we wait for it.
    *connect_timeout*: seconds for each step of connecting: an address, the proxy, TLS.
    *deadline*: seconds for a whole call, the lookup of the host's name excepted.
    ``None``: no limit.
    *max_retries*: how many times a failed call is retried: no connection, no answer, or
    a status of 408, 409, 429 or 5xx.
    *headers*: go with every request.
    *ssl_context*: an ``ssl.SSLContext`` in place of the system's trust store,
    ``SSL_CERT_FILE`` and ``SSL_CERT_DIR``.
    *proxy*: ``None`` takes the environment's or the system's, ``""`` none, ``http://…``
    that one.

    All can be read and set as attributes; the next call checks and uses them.
    """

    def __init__(
        self,
        api_key: str | Callable[[], str] | None = None,
        base_url: str | None = None,
        *,
        model: str | None = None,
        timeout: float | None = 600.0,
        connect_timeout: float | None = 10.0,
        max_retries: int = 2,
        headers: Mapping[str, str] | None = None,
        ssl_context: ssl.SSLContext | None = None,
        proxy: str | None = None,
        deadline: float | None = None,
    ) -> None:
        environ = os.environ
        if api_key is None:
            api_key = environ.get("SIRAYA_API_KEY", "").strip()
        if base_url is None or base_url == "":
            base_url = environ.get("SIRAYA_BASE_URL", "").strip() or DEFAULT_BASE_URL
        self.api_key = api_key
        self.base_url = _Endpoint("base_url", base_url).base_url()
        self.model = model or environ.get("SIRAYA_MODEL", "").strip() or None
        self.timeout = timeout
        self.connect_timeout = connect_timeout
        self.max_retries = max_retries
        self.headers = headers
        self.ssl_context = ssl_context
        self.proxy = proxy
        self.deadline = deadline
        self._has_warned = False  # of a key that goes over plain http
        self._check_settings()
        self._transport = _Transport(proxy, ssl_context)
        self._transport_settings = (proxy, ssl_context)

    def _check_settings(self) -> None:
        for name, rule in _SETTING_RULES.items():
            rule(name, getattr(self, name))

    def _settings(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _SETTING_RULES}

    def __repr__(self) -> str:
        return "%s(base_url=%r, model=%r)" % (
            type(self).__name__,
            _without_user(str(self.base_url)).partition("?")[0],
            self.model,
        )

    def __getstate__(self) -> dict[str, Any]:
        return self._settings()

    def __setstate__(self, settings: dict[str, Any]) -> None:
        self.__init__(**settings)  # type: ignore[misc]

    def close_idle(self) -> None:
        """Close the idle connections.  The client remains usable."""
        self._transport.close()

    def with_options(self, **changes: Any) -> Self:
        """A client that differs in these settings.  It shares the kept connections."""
        unknown = sorted(set(changes) - set(_SETTING_RULES))
        if unknown:
            raise TypeError("with_options() has no setting %r" % unknown[0])
        client = type(self)(**{**self._settings(), **changes})
        if client._transport_settings == self._transport_settings:
            client._transport = self._transport
        client._has_warned = self._has_warned
        return client

    def prepare(
        self, messages: Messages, model: str | None, is_stream: bool, **params: Any
    ) -> Call:
        """A call that is checked and not yet sent: see `Call`."""
        if params.pop("stream", is_stream) is not is_stream:  # the right one may stand
            raise TypeError(
                "complete() returns a whole answer, and stream() returns pieces: "
                "neither takes stream="
            )
        options = {
            name: params.pop(name) for name in _CALL_OPTION_RULES if name in params
        }
        body = build_request(messages, model or self.model, stream=is_stream, **params)
        read_answer = _open_stream if is_stream else _read_completion
        return self._new_call("POST", "/chat/completions", body, read_answer, options)

    def prepare_list(self, **options: Any) -> Call:
        """A call for the list of models."""
        unknown = sorted(set(options) - set(_CALL_OPTION_RULES))
        if unknown:
            raise TypeError("list() has no argument %r" % unknown[0])
        return self._new_call("GET", "/models", None, _read_list, options)

    def _new_call(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None,
        read_answer: Callable[[Call, _Exchange], Any],
        options: dict[str, Any],
    ) -> Call:
        """A call with the settings of the client, where the options have no others."""
        self._check_settings()
        for name, value in options.items():
            _CALL_OPTION_RULES[name](name, value)
        # None means "no limit" for the seconds, and nothing for the retries.
        max_retries = options.get("max_retries")
        if max_retries is None:
            max_retries = self.max_retries
        own = _check_headers("headers", self.headers)
        own.update(_check_headers("extra_headers", options.get("extra_headers")))
        endpoint = _Endpoint("base_url", self.base_url)
        transport = self._current_transport()
        if self.api_key or _has_key(own):
            self._warn_if_readable(endpoint)
        return Call(
            transport,
            method,
            endpoint.url(path, options.get("extra_query")),
            body,
            _Limits(
                options.get("timeout", self.timeout),
                self.connect_timeout,
                options.get("deadline", self.deadline),
            ),
            max_retries,
            lambda: self._headers(endpoint, body, own),
            read_answer,
        )

    @property
    def chat(self) -> Any:
        """As in the OpenAI SDK: ``client.chat.completions.create(…)``."""
        return _Chat(self)

    @property
    def models(self) -> _Models:
        """As in the OpenAI SDK: ``client.models.list()``."""
        return _Models(self)

    def _current_transport(self) -> _Transport:
        settings = (self.proxy, self.ssl_context)
        if settings != self._transport_settings:
            self._transport = _Transport(*settings)
            self._transport_settings = settings
        return self._transport

    def _headers(
        self, endpoint: _Endpoint, body: dict[str, Any] | None, own: dict[str, str]
    ) -> dict[str, str]:
        """The headers of one attempt.  *own*: those of the client and of the call."""
        is_stream = body is not None and body.get("stream") is True
        headers = {
            "User-Agent": "siraya_chat/" + __version__,
            "Accept": "text/event-stream" if is_stream else "application/json",
            "Accept-Encoding": "identity",
        }
        if body is not None:
            headers["Content-Type"] = "application/json"
        key = self.api_key() if callable(self.api_key) else self.api_key
        key = _check_key("api_key", key)
        if key:
            headers["Authorization"] = "Bearer " + key
        headers.update(own)
        if not _has_key(headers) and not re.match(_LOOPBACK, endpoint.host):
            raise SirayaError(
                "no API key: set the environment variable SIRAYA_API_KEY, "
                "or pass Client(api_key=…)"
            )
        return headers

    def _warn_if_readable(self, endpoint: _Endpoint) -> None:
        """Warn once of a key that others on the way can read."""
        if self._has_warned or endpoint.scheme == "https":
            return
        places = [endpoint.host]
        proxy = self._transport.route_to(endpoint.url("")).proxy
        if proxy is not None:
            places.append(proxy.host)
        far = [place for place in places if not re.match(_LOOPBACK, place)]
        if far:
            self._has_warned = True
            message = "the API key is sent unencrypted (plain http) to "
            warnings.warn(message + far[-1], stacklevel=_levels_to_caller())


def _levels_to_caller() -> int:
    """How far up the stack the first caller outside of this file stands."""
    levels = 1
    frame: Any = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals is globals():
        frame = frame.f_back
        levels += 1
    return levels


class Client(BaseClient):
    # BaseClient's text with another first sentence.
    __doc__ = (
        "A client for a chat-completions server."
        + (str(BaseClient.__doc__).partition(".")[2])
    )

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the idle connections.  The client remains usable."""
        self.close_idle()

    def complete(
        self,
        messages: Messages,
        model: str | None = None,
        **params: Unpack[Params],
    ) -> Completion:
        """The whole answer.

        *messages*, *model*, *params*: as `build_request` takes them, and for this call
        also ``timeout``, ``deadline``, ``max_retries``, ``extra_headers`` and
        ``extra_query``.  Raises ``ValueError`` and ``TypeError`` before anything is
        sent, then `APIConnectionError`, `APIStatusError` or `ResponseError`.
        """
        call = self.prepare(messages, model, False, **params)
        return call.run()  # type: ignore[no-any-return]

    def stream(
        self,
        messages: Messages,
        model: str | None = None,
        **params: Unpack[Params],
    ) -> Stream:
        """The answer as it is generated.

        Takes and raises what `complete` does.  Errors after the answer has begun are
        raised by the `Stream`.
        """
        call = self.prepare(messages, model, True, **params)
        return call.run()  # type: ignore[no-any-return]

    def list_models(self, **options: Any) -> list[JSONObject]:
        """The models that the service lists, a `JSONObject` each.

        *options*: ``timeout``, ``deadline``, ``max_retries``, ``extra_headers``,
        ``extra_query``.
        """
        return self.prepare_list(**options).run()  # type: ignore[no-any-return]

    if TYPE_CHECKING:

        @property
        def chat(self) -> TypedChat[Completion, Stream]: ...


# ---------------------------------------------------------------------------- asyncio
#
# Each call runs in a daemon thread of its own, by the same code as Client's.  The event
# loop and the thread meet in two places: the loop wakes by call_soon_threadsafe(), and
# the thread waits when the consumer is too slow.

# Chunks that may wait for a consumer; beyond that the server has to wait too.
_READ_AHEAD = 100


def _start_thread(target: Callable[[], None]) -> None:
    import contextvars

    run = contextvars.copy_context().run  # the task's context variables hold there, too
    try:
        threading.Thread(
            target=run, args=(target,), name="siraya_chat", daemon=True
        ).start()
    except RuntimeError as error:
        raise SirayaError(
            "no thread can be started for this call: %s" % error
        ) from None


class _Outcome:
    """What a thread hands to a task, once: a value or an error."""

    def __init__(self) -> None:
        import asyncio

        self._loop = asyncio.get_running_loop()
        self._future: Any = self._loop.create_future()

    def set(self, value: Any, error: BaseException | None) -> bool:
        """Called by the thread.  ``False``: too late, the loop is closed."""
        try:
            self._loop.call_soon_threadsafe(self._set, value, error)
        except RuntimeError:
            return False
        return True

    def _set(self, value: Any, error: BaseException | None) -> None:
        if self._future.done():  # cancelled
            return
        if isinstance(error, StopIteration):  # which a future does not take
            error = RuntimeError("the function for the key raised StopIteration")
        if error is None:
            self._future.set_result(value)
        else:
            self._future.set_exception(error)

    async def get(self) -> Any:
        return await self._future


async def _run(call: Call) -> Any:
    """Run a call in a thread.  Cancelling the task ends the request."""
    outcome = _Outcome()

    def work() -> None:
        try:
            outcome.set(call.run(), None)
        except BaseException as error:
            outcome.set(None, error)

    _start_thread(work)
    try:
        return await outcome.get()
    except BaseException:
        call.cancel()
        raise


class _Pump:
    """Reads a stream in a thread, a bounded number of chunks ahead of its consumer."""

    def __init__(self, call: Call) -> None:
        import asyncio

        self.stream: Any = None  # set by the thread, once the call is answered
        self._call = call
        self._loop = asyncio.get_running_loop()
        self._opened = _Outcome()
        self._arrived: collections.deque[JSONObject] = collections.deque()
        self._room = threading.Semaphore(_READ_AHEAD)
        self._has_ended = False  # set by the thread, after the last chunk
        self._error: BaseException | None = None  # the stream's end, if it has failed
        self._is_closed = False  # set by close()
        self._waiter: Any = None  # the future that the consumer waits for

    async def open(self) -> None:
        """Send the request; returns when the answer begins."""
        _start_thread(self._work)
        try:
            await self._opened.get()
        except BaseException:
            self.close()
            raise

    def _work(self) -> None:
        try:
            self.stream = self._call.run()
        except BaseException as error:
            self._opened.set(None, error)
            return
        if self._is_closed:
            self.stream.close()
        if not self._opened.set(None, None):
            self.close()
        try:
            for chunk in self.stream:
                if not self._is_closed:  # else what is left is taken without waiting
                    self._room.acquire()
                self._arrived.append(chunk)
                self._wake_consumer()
        except BaseException as error:
            self._error = error
        self._has_ended = True
        self._wake_consumer()

    def _wake_consumer(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            try:
                self._loop.call_soon_threadsafe(_wake, waiter)
            except RuntimeError:  # the loop is closed: nobody reads any more
                self.close()

    async def next_chunk(self) -> JSONObject:
        """The next chunk; raises StopAsyncIteration or `StreamError` at the end."""
        while not self._arrived:
            # The thread may have added the last chunk after the line above.
            if self._has_ended and not self._arrived:
                if self._error is not None:
                    raise self._error
                raise StopAsyncIteration
            await self._wait()
        self._room.release()
        return self._arrived.popleft()

    async def _wait(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            raise RuntimeError("another task waits for this stream's next chunk")
        self._waiter = self._loop.create_future()
        # The thread may have added a chunk before it could see the waiter.
        if self._arrived or self._has_ended:
            self._waiter = None
            return
        try:
            await self._waiter
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the request, at whatever stage it is."""
        self._is_closed = True
        stream = self.stream
        if stream is None:
            self._call.cancel()
        else:
            stream.close()
        self._room.release()  # the thread may wait for it


def _wake(waiter: Any) -> None:
    if not waiter.done():
        waiter.set_result(None)


class AsyncStream:
    """`Stream` for asyncio: read with ``async for``.

    A task that is cancelled while it waits for a chunk ends the request.
    """

    def __init__(self, pump: _Pump) -> None:
        self._pump = pump
        self.headers: Mapping[str, str] = pump.stream.headers
        self.request_id: str | None = pump.stream.request_id

    def __aiter__(self) -> AsyncStream:
        return self

    async def __anext__(self) -> JSONObject:
        return await self._pump.next_chunk()

    async def __aenter__(self) -> AsyncStream:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End the request.  Chunks that have arrived can still be read."""
        self._pump.close()

    aclose = close

    def __del__(self) -> None:
        self._pump.close()

    @property
    async def text_stream(self) -> AsyncIterator[str]:
        """The pieces of the first choice's text, as they arrive."""
        reader = self._pump.stream.text_reader()
        async for chunk in self:
            text = reader.read(chunk)
            if text:
                yield text
        rest = reader.end()
        if rest:
            yield rest

    async def get_final_completion(self) -> Completion:
        """Read what is left: see `Stream.get_final_completion`."""
        async for _ in self:
            pass
        return self._pump.stream.get_final_completion()  # type: ignore[no-any-return]


class AsyncClient(BaseClient):
    # BaseClient's text with another first sentence.
    __doc__ = "`Client` for asyncio." + str(BaseClient.__doc__).partition(".")[2]

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the idle connections.  The client remains usable."""
        self.close_idle()

    async def complete(
        self,
        messages: Messages,
        model: str | None = None,
        **params: Unpack[Params],
    ) -> Completion:
        """The whole answer: see `Client.complete`."""
        call = self.prepare(messages, model, False, **params)
        return await _run(call)  # type: ignore[no-any-return]

    async def stream(
        self,
        messages: Messages,
        model: str | None = None,
        **params: Unpack[Params],
    ) -> AsyncStream:
        """The answer as it is generated: see `Client.stream`."""
        pump = _Pump(self.prepare(messages, model, True, **params))
        await pump.open()
        return AsyncStream(pump)

    async def list_models(self, **options: Any) -> list[JSONObject]:
        """The models that the service lists: see `Client.list_models`."""
        return await _run(self.prepare_list(**options))  # type: ignore[no-any-return]

    if TYPE_CHECKING:

        @property
        def chat(self) -> TypedChat[Awaited[Completion], Awaited[AsyncStream]]: ...


# ----------------------------------------------------------------------- command line
#
# Of the library it uses the public names and the text helpers.

_PROGRAM = "siraya-chat"
_HELP = """\
usage: siraya-chat [options] [prompt ...]

Ask a model. The answer goes to standard output, everything else to standard
error.

examples:
  siraya-chat "What is the meaning of life?"
  git diff | siraya-chat -s "You are a strict reviewer." "Review this."
  siraya-chat -a cat.png "What is in this image?"
  siraya-chat -a invoice.pdf --schema '{"type": "object"}' "Extract the total."
  siraya-chat -c --history talk.json -m openai/gpt-4o -o temperature=0.2

environment:
  SIRAYA_API_KEY    the key. There is no option for it: every user of a
                    machine can read its command lines.
  SIRAYA_BASE_URL, SIRAYA_MODEL, https_proxy, no_proxy, SSL_CERT_FILE

exit status:
  0  done
  1  the service or the network failed, or there is no answer
  2  usage error
  130 (or killed by SIGINT)  Ctrl-C"""
# What would move a terminal's cursor or turn its text round; line ends and tabs may
# stay.
_DRIVES_TERMINAL = (
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]"
)
# Errors of the service or the network: exit status 1.
_FAILURES = (APIConnectionError, APIStatusError, ResponseError)
_OWN_OPTIONS = ("model", "messages", "stream")
_CLIENT_SETTINGS = (
    "api_key",
    "base_url",
    "connect_timeout",
    "headers",
    "proxy",
    "ssl_context",
)


def _parse_arguments(argv: Sequence[str]) -> Any:
    from argparse import SUPPRESS, ArgumentParser, RawDescriptionHelpFormatter

    parser: Any = ArgumentParser(
        _PROGRAM,
        usage=SUPPRESS,
        description=_HELP,
        formatter_class=lambda prog: RawDescriptionHelpFormatter(prog, width=79),
    )
    add = parser.add_argument
    add("prompt", nargs="*", help="the prompt; piped input is added to it")
    add(
        "-m",
        "--model",
        metavar="MODEL",
        help="default: $SIRAYA_MODEL, or " + DEFAULT_MODEL,
    )
    add("-s", "--system", metavar="TEXT", help="system message")
    add(
        "-a",
        "--attach",
        metavar="FILE_OR_URL",
        action="append",
        default=[],
        help="image, PDF, audio, video, text, document; - is standard input; "
        "FILE;type=image/png overrides the detected type; repeatable",
    )
    add(
        "-o",
        "--option",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="any parameter of the request or the call, such as temperature=0.2, "
        "deadline=60, max_retries=0; VALUE is parsed as JSON if possible, else a "
        "string; repeatable",
    )
    add(
        "--schema", metavar="FILE_OR_JSON", help="structured output by this JSON Schema"
    )
    add("--no-stream", action="store_true", help="wait for the whole answer")
    add(
        "-j",
        "--json",
        action="store_true",
        help="print the response as JSON; when streaming, one chunk per line",
    )
    add(
        "-u",
        "--usage",
        action="store_true",
        help="print tokens and cost on standard error",
    )
    add(
        "-c",
        "--chat",
        action="store_true",
        help="have a conversation; Ctrl-C stops the answer, Ctrl-D ends the "
        "conversation",
    )
    add(
        "--history",
        metavar="FILE",
        help="the conversation so far, a JSON list of messages; each turn is added",
    )
    add("--models", action="store_true", help="list the models of the service")
    add(
        "-v",
        "--verbose",
        action="store_true",
        help="print attempts, retries and times on standard error",
    )
    add(
        "-n",
        "--dry-run",
        action="store_true",
        help="print the request and send nothing; needs no key",
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
        help="give up after this long without data; default: 600",
    )
    add("--version", action="version", version="siraya_chat " + __version__)
    parser.error = _refuse_arguments  # so that mistakes are reported like all others
    arguments, words = list(argv), []
    if "--" in arguments:  # after it all are words
        end = arguments.index("--")
        arguments, words = arguments[:end], arguments[end + 1 :]
    options = parser.parse_intermixed_args(_join_attachments(arguments))
    options.prompt += words
    return options


def _join_attachments(arguments: list[str]) -> list[str]:
    """The arguments with -a=-;type=…, since argparse takes -;type=… for an option."""
    joined: list[str] = []
    for argument in arguments:
        if argument.startswith("-;") and joined[-1:] in (["-a"], ["--attach"]):
            joined[-1] += "=" + argument
        else:
            joined.append(argument)
    return joined


def _refuse_arguments(message: str) -> None:
    raise ValueError(message)


class _Output:
    """What the command prints: the answer, and on standard error a status line."""

    def __init__(self) -> None:
        self.is_terminal = sys.stdout.isatty()
        self._has_status = False  # a status line is on the screen
        self._shows_status = sys.stderr.isatty()
        self._last = "\n"  # the last character of the answer

    def write(self, text: str) -> None:
        """Print a piece of the answer."""
        self.set_status("")
        if self.is_terminal:
            text = re.sub(_DRIVES_TERMINAL, "", text)
        if text:
            self._last = text[-1]
            sys.stdout.write(text)
            sys.stdout.flush()

    def end_line(self) -> None:
        if self._last != "\n":
            self.write("\n")

    def report(self, what: object) -> None:
        """Print a line on standard error."""
        self.set_status("")
        _tell(what)

    def set_status(self, text: str) -> None:
        """Show the status line, on a terminal; an empty one takes it away."""
        if self._shows_status and (text or self._has_status):
            print("\r\x1b[K" + text, end="", file=sys.stderr, flush=True)
            self._has_status = bool(text)

    def follow_library(self, is_verbose: bool) -> contextlib.ExitStack:
        """Show what the library warns of and logs, until the stack is closed."""
        before = contextlib.ExitStack()  # a program that calls main() has its own ways
        before.callback(setattr, warnings, "showwarning", warnings.showwarning)
        warnings.showwarning = lambda message, *_: self.report(message)
        if is_verbose or self._shows_status:
            import logging

            handler: Any = logging.Handler()
            handler.emit = self._print_record if is_verbose else self._show_record
            logger = logging.getLogger("siraya_chat")
            before.callback(setattr, logger, "handlers", logger.handlers)
            before.callback(setattr, logger, "propagate", logger.propagate)
            before.callback(logger.setLevel, logger.level)
            logger.handlers = [handler]
            logger.propagate = False
            logger.setLevel(logging.DEBUG)
        return before

    def _print_record(self, record: Any) -> None:
        self.report(record.getMessage())

    def _show_record(self, record: Any) -> None:
        """Show a record of the logger, known by how its message begins.

        "connecting to …", "sending … of … bytes", "waiting for …", "…: retrying in …".
        """
        values = record.args
        if record.msg.startswith("connecting"):
            self.set_status("connecting …")
        elif record.msg.startswith("sending"):
            sent, total = values
            self.set_status(
                "sending %.1f MB: %d %%" % (total / 1e6, 100 * sent // total)
            )
        elif record.msg.startswith("waiting"):
            self.set_status("waiting …")
        elif "retrying" in record.msg:
            reason, seconds, attempt, most = values
            self.set_status(
                "%s: trying again in %.0f s (%d of %d)"
                % (reason, seconds, attempt, most)
            )


class _Conversation:
    """The turns of one run of the command."""

    def __init__(self, options: Any, output: _Output) -> None:
        self._options = options
        self._output = output
        self.client = Client(
            base_url=options.base_url, model=options.model, timeout=options.timeout
        )
        if self.client.model is None:
            self.client.model = DEFAULT_MODEL
        self._params = _read_params(options)
        self._parts = [
            _attachment(source) for source in options.attach
        ]  # of the first turn
        self._messages = _read_history(options)
        self._printed = ""  # of the answer

    def run(self) -> int:
        """Do what the options ask for; returns the exit status."""
        if self._options.models:
            if self._options.dry_run:
                raise ValueError("-n: the list of models has no request to print")
            return self._list_models()
        if self._options.chat and not self._options.dry_run:
            return self._chat()
        prompt = " ".join(self._options.prompt)
        if "-" not in self._options.attach and not sys.stdin.isatty():
            piped = _decode_input(sys.stdin.buffer.read())
            prompt = "\n\n".join(filter(None, [prompt, piped]))
        if not prompt and not self._parts:
            raise ValueError("no prompt: give some words, pipe a text, or use -c")
        if self._options.dry_run:
            return self._show_request(prompt)
        return self._turn(prompt)

    def _list_models(self) -> int:
        models = self.client.models.list()
        if self._options.json:
            self._output.write(_to_json(models) + "\n")
        else:
            for model in models:
                self._output.write(_printable(str(model.get("id"))) + "\n")
        return 0

    def _chat(self) -> int:
        """Turn after turn, to the end of the input; returns the exit status."""
        is_terminal = sys.stdin.isatty()
        if is_terminal:
            _prepare_line_editor()
            self._output.report(
                "%s; Ctrl-C stops an answer, Ctrl-D ends" % self.client.model
            )
        status = 0
        text = " ".join(self._options.prompt)
        while True:
            try:
                if not text:
                    text = _read_turn(is_terminal)
                if text.strip():
                    status = max(status, self._chat_turn(text))
            except EOFError:
                break
            except KeyboardInterrupt:
                print(file=sys.stderr)
            text = ""
        if is_terminal:
            print(file=sys.stderr)
        return 0 if is_terminal else status

    def _chat_turn(self, text: str) -> int:
        """A turn whose failure leaves the conversation as it was before."""
        try:
            return self._turn(text)
        except _FAILURES as error:
            self._output.report(error)
            return 1

    def _request(self, prompt: str) -> list[Any]:
        texts = [prompt] if prompt else []
        return [*self._messages, user(*texts, *self._parts)]

    def _show_request(self, prompt: str) -> int:
        stream = not self._options.no_stream
        call = self.client.prepare(self._request(prompt), None, stream, **self._params)
        self._output.write(json.dumps(call.body, indent=2, ensure_ascii=False) + "\n")
        return 0

    def _turn(self, prompt: str) -> int:
        """Ask, print the answer as it comes, remember both; returns the status."""
        messages = self._request(prompt)
        self._printed = ""
        try:
            completion = self._ask(messages)
        except KeyboardInterrupt:
            if self._options.chat:
                self._remember(messages, self._printed)
            raise
        finally:
            self._output.set_status("")
            self._output.end_line()
        if self._options.usage:
            self._output.report(_describe_usage(completion))
        status = self._report_ending(completion)
        self._remember(messages, completion.text or _refusal(completion))
        return status

    def _ask(self, messages: list[Any]) -> Completion:
        if self._options.no_stream:
            completion = self.client.complete(messages, **self._params)
            self._print(
                _to_json(completion) + "\n" if self._options.json else completion.text
            )
            return completion
        with self.client.stream(messages, **self._params) as stream:
            if self._options.json:
                for chunk in stream:
                    self._print(_to_json(chunk) + "\n")
            else:
                for piece in stream.text_stream:
                    self._print(piece)
            return stream.get_final_completion()

    def _print(self, text: str) -> None:
        if not self._options.json:
            self._printed += text
        self._output.write(text)

    def _remember(self, messages: list[Any], answer: str) -> None:
        """Keep the turn, unless no words were said.

        Services refuse an empty message, and a tool call without its result.
        """
        if not answer:
            return
        self._messages = [*messages, assistant(answer)]
        self._parts = []
        if self._options.history is not None:
            _write_history(self._options.history, self._messages)

    def _report_ending(self, completion: Completion) -> int:
        """Say in one line what the answer lacks; returns the exit status."""
        problems = list(_describe_ending(completion))
        answer: Any = completion.text
        if self._options.json:  # then these are the answer, too
            answer = answer or _refusal(completion) or completion.tool_calls
        if completion.text and self._options.schema is not None:
            try:
                completion.json()
            except ResponseError:
                answer = None
                problems.append("the answer is not JSON")
        if problems:
            self._output.report("; ".join(problems))
        return 0 if answer else 1


def _describe_ending(completion: Completion) -> Iterator[str]:
    """What to say of an answer that is missing, or not whole."""
    refusal = _refusal(completion)
    if refusal:
        yield "the model refused: " + refusal
    names = [_tool_name(call) for call in completion.tool_calls]
    if names:
        yield "the model wants to call: " + ", ".join(names)
    if completion.finish_reason == "length":
        yield "the answer was cut off at the limit of tokens"
    elif completion.finish_reason == "content_filter":
        yield "the answer was cut off by a content filter"
    elif completion.finish_reason is None:
        yield "the service does not say whether the answer is whole"
    if not completion.text and not refusal and not names:
        yield "the answer is empty"


def _refusal(completion: Completion) -> str:
    """The words in which the model refused."""
    refusal = completion.message.refusal if completion.message else None
    return str(refusal or "")


def _tool_name(call: Any) -> str:
    function = call.get("function") if isinstance(call, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    return _printable(str(name or "a tool"))


def _describe_usage(completion: Completion) -> str:
    usage = completion.usage if isinstance(completion.usage, dict) else {}
    told = {"cost": completion.cost, **usage}
    numbers = [
        "%s: %s" % (_printable(str(name)), value)
        for name, value in told.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    ]
    return ", ".join(numbers) or "usage unknown"


def _to_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _read_params(options: Any) -> dict[str, Any]:
    """The parameters that -o, --schema and -u give."""
    params: dict[str, Any] = {}
    if options.usage and not options.no_stream:
        params["stream_options"] = {"include_usage": True}
    if options.schema is not None:
        params["response_format"] = json_schema(_read_schema(options.schema))
    for option in options.option:
        key, equals, value = option.partition("=")
        if not equals or not key or key != key.strip():
            raise ValueError("-o must be KEY=VALUE, without spaces, not %r" % option)
        if key in _OWN_OPTIONS:
            raise ValueError("-o: %s has an option or an argument of its own" % key)
        if key in _CLIENT_SETTINGS:
            raise ValueError("-o: %s is not a parameter of a request" % key)
        try:
            params[key] = json.loads(value)
        except (ValueError, RecursionError):
            params[key] = value
    return params


def _read_schema(text: str) -> Any:
    source: str | bytes = text
    if not text.lstrip().startswith("{"):
        with open(_file_name(text), "rb") as file:
            source = file.read()
    schema = _parse_json("--schema", source)
    if not isinstance(schema, dict):
        raise ValueError("--schema: a JSON Schema must be an object")
    return schema


def _parse_json(option: str, source: str | bytes) -> Any:
    """The JSON that an option gives, or the file that it names."""
    try:
        return json.loads(source)
    except json.JSONDecodeError as error:
        raise ValueError(
            "%s: not JSON (line %d, column %d)" % (option, error.lineno, error.colno)
        ) from None
    except UnicodeDecodeError:
        raise ValueError("%s: the file is not UTF-8 text" % option) from None
    except RecursionError:
        raise ValueError("%s: nested too deeply" % option) from None


def _attachment(source: str) -> dict[str, Any]:
    """The part for an argument of -a: FILE, URL or -, each perhaps with ;type=…"""
    path, separator, media_type = source.rpartition(";type=")
    if not separator or source.startswith("data:"):
        path, media_type = source, ""
    what: Any = _file_name(path)
    if path == "-":
        what = sys.stdin.buffer.read()
    elif re.match(r"(https?|data):", path, re.I):
        what = path
    return attach(what, media_type=media_type or None)


def _file_name(argument: str) -> str:
    """An argument as the system's encoding of file names has it."""
    return os.fsdecode(argument.encode("utf-8", "surrogateescape"))


def _decode_input(data: bytes) -> str:
    """Text from a pipe, without a byte order mark and the line ends around it."""
    text = _decode_text(data, sys.stdin.encoding)
    if text is None:
        raise ValueError("standard input is not UTF-8 text; for a file use -a -")
    return text.lstrip("\ufeff").strip("\r\n")


def _read_history(options: Any) -> list[Any]:
    """The messages before the first turn."""
    messages: list[Any] = []
    if options.history is not None:
        data = _read_history_file(os.path.realpath(_file_name(options.history)))
        if data.strip():
            messages = _parse_json("--history", data)
        if not isinstance(messages, list):
            raise ValueError("--history: the file must hold a list of messages")
    if options.system is not None:
        first = messages[0] if messages else None
        if isinstance(first, dict) and first.get("role") == "system":
            messages = messages[1:]
        messages = [system(options.system), *messages]
    return messages


def _read_history_file(path: str) -> bytes:
    """What the file holds; a file that is not there yet needs a folder that is."""
    if not os.path.exists(path) and os.path.isdir(os.path.dirname(path)):
        return b""
    if os.path.exists(path) and not os.path.isfile(path):
        # A device would be read for ever, and then replaced by a file.
        raise ValueError("--history: not a regular file: %r" % path)
    with open(path, "rb") as file:
        return file.read()


def _write_history(name: str, messages: list[Any]) -> None:
    """Write the conversation, whole or not at all."""
    path = os.path.realpath(_file_name(name))
    beside = "%s.%d.tmp" % (path, os.getpid())
    text = json.dumps(messages, ensure_ascii=False, indent=1) + "\n"
    try:
        with open(beside, "w", encoding="utf-8") as file:
            if os.path.exists(path):  # who may read it stays as it was
                os.chmod(beside, os.stat(path).st_mode & 0o777)
            file.write(text)
        os.replace(beside, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.remove(beside)
        if isinstance(error, OSError):
            raise OSError("--history: not saved: %s" % error.strerror) from None
        raise


def _prepare_line_editor() -> None:
    """Line editing and history for input(); several pasted lines are one turn."""
    try:
        import readline
    except ImportError:
        return
    with contextlib.suppress(Exception):  # what the editor knows depends on its version
        readline.parse_and_bind("set enable-bracketed-paste on")


def _read_turn(is_terminal: bool) -> str:
    """One turn: a line, from a terminal with a prompt; EOFError at the end."""
    if is_terminal:
        # The prompt is not part of the answer, which may go to a file.
        target = sys.stdout if sys.stdout.isatty() else sys.stderr
        with contextlib.redirect_stdout(target):
            return input("> ")
    line = sys.stdin.buffer.readline()
    if not line:
        raise EOFError
    return _decode_input(line)


def _open_nothing(mode: str) -> Any:
    """A stream of nothing, which need not be closed."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    return open(nowhere, mode, encoding="utf-8", closefd=False)


def _prepare_streams() -> None:
    """Pipes and files are UTF-8; a closed stream becomes one of nothing."""
    if sys.stdin is None:
        sys.stdin = _open_nothing("r")
    if sys.stderr is None:
        sys.stderr = _open_nothing("w")
    if sys.stdout is None:
        raise ValueError("standard output is closed")
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        reconfigure: Any = getattr(stream, "reconfigure", None)
        if reconfigure is None:  # not the system's
            continue
        if stream.isatty() or os.environ.get("PYTHONIOENCODING"):
            reconfigure(errors="replace")
        else:
            reconfigure(encoding="utf-8", errors="replace")


def _decode_arguments(argv: Sequence[str] | None) -> list[str]:
    """The arguments as text: they are UTF-8, whatever the locale."""
    arguments = []
    for argument in sys.argv[1:] if argv is None else argv:
        try:
            data = os.fsencode(argument) if argv is None else argument.encode()
            arguments.append(data.decode("utf-8"))
        except UnicodeError:
            raise ValueError(
                "an argument is not UTF-8: %s" % _printable(argument)
            ) from None
    return arguments


def main(argv: Sequence[str] | None = None) -> int:
    """The command line.

    *argv*: the arguments; default: those of the process.  Returns the exit status: 0
    done, 1 the service or the network failed or there is no answer, 2 a usage
    error, 130 interrupted.
    """
    try:
        status = _run_command(argv)
    except KeyboardInterrupt:
        status = 130
    except BrokenPipeError:  # the reader has had enough, as in … | head
        status = 0
    except OSError as error:
        status = 1
        _tell(_describe_os_error(error))
    return _flush(status)


def _run_command(argv: Sequence[str] | None) -> int:
    try:
        _prepare_streams()
    except ValueError as error:
        _tell(error)
        return 1
    output = _Output()
    try:
        options = _parse_arguments(_decode_arguments(argv))
        with output.follow_library(options.verbose):
            conversation = _prepare_conversation(options, output)
            with conversation.client:
                return conversation.run()
    except SystemExit as end:  # after --help and --version
        return int(end.code or 0)
    except _FAILURES as error:
        output.report(error)
        return 1
    except (SirayaError, ValueError, TypeError, RecursionError) as error:
        output.report(error)
        return 2
    finally:
        output.set_status("")


def _prepare_conversation(options: Any, output: _Output) -> _Conversation:
    """Read what the options name; a file that cannot be read is the user's mistake."""
    try:
        return _Conversation(options, output)
    except OSError as error:
        raise ValueError(_describe_os_error(error)) from None


def _describe_os_error(error: OSError) -> str:
    """As the system's own commands say it: "cat.png: No such file or directory"."""
    if not error.strerror:
        return str(error)
    if not isinstance(error.filename, str):
        return error.strerror
    name = os.fsencode(error.filename).decode("utf-8", "replace")
    return "%s: %s" % (name, error.strerror)


def _tell(what: object) -> None:
    """Print a line on standard error; that this cannot be done changes no status."""
    line = "%s: %s\n" % (_PROGRAM, _printable(str(what)))
    try:
        sys.stderr.write(line)  # in one piece, since other programs write there, too
        sys.stderr.flush()
    except OSError:
        _discard_output(2)


def _flush(status: int) -> int:
    """Write what is left; a full disk or a closed pipe is a failure."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        if status == 0 and not isinstance(error, BrokenPipeError):
            status = 1
            _tell(_describe_os_error(error))
        _discard_output(1)
    return status


def _discard_output(descriptor: int) -> None:
    """Give up what cannot be written there, or Python tries again at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


def run_as_command() -> None:
    """The entry point of the process: `main`, and after Ctrl-C death by the signal."""
    status = main()
    if status == 130 and os.name == "posix":
        import signal

        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    sys.exit(status)


if __name__ == "__main__":
    run_as_command()
