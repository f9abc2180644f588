"""The tests of siraya_chat, with a stand-in for the service that they, and you, can
talk to.

    python3 -m unittest                   the tests: offline, standard library only
    python3 test_siraya_chat.py demo "What is the meaning of life?"
                                          the command line against the stand-in:
                                          no key, no network
    python3 test_siraya_chat.py serve [PORT]
                                          the stand-in alone, for programs of yours
    python3 test_siraya_chat.py fuzz SECONDS
                                          look for inputs that break a promise
    python3 test_siraya_chat.py bench     speed, beside the clients that are installed

The sections of this file, in their order.  To find one, search for "=== " and its
name; to find a class of tests, search for "class " and its name.  A table that a test
reads stands just before its class.

    stand-in      a real HTTP server on a loopback port that says what a script tells it
    inside        all that the tests know of the module beyond what users may use
    helpers       bytes and answers used everywhere; running the command line; `Test`,
                  the base of all tests

    errors        Errors: classes, attributes, what is read from an error's body
    data          Data: `JSONObject` and `Completion`
    messages      Messages: system, user, assistant, tool_result
    attachments   Attachments: image, pdf, audio, video, attach
    requests      Requests: build_request and json_schema; Uploads: large bodies
    events        ServerSentEvents: the parser against the specification
    assembling    Assembling: chunks into one completion
    real servers  RealServers: what servers were seen to send; AnswersThatGoBack;
                  RequestsThatPass; SourcesAsPeopleHaveThem; ToolResults; JSONOfAnswers
    transport     Decoding: codings and framing; Timeouts; Reuse: kept connections,
                  threads, forks; TLS; PlainProxies; FaultMatrix: every fault at every
                  point; HostileAnswers: what is no answer at all
    client        Calls: settings and arguments; Retries; Secrecy: the key
    streams       EndsOfStreams: whole or cut off; SameHoweverAsked: a body means the
                  same, whole and streamed; Cancelling: close, drop, leave
    bounded calls TimeLimits; SendingAgain, PayingOnce: which requests are sent again;
                  EarlyAnswers: those that come before all is sent; OtherPeoplesLayers:
                  patched ssl, traced urllib; Watching: the log, request ids;
                  KeepingConnections; Addresses; ChoiceOfProxy; CertificateStores;
                  ChangesOfSettings; Costs: memory and time of hostile answers;
                  SharedWays: clients and proxies together
    asyncio       Asyncio, AsyncCancelling, AsyncStreams; ComingFromTheSDK: its habits
    command line  CommandLineRequests, CommandLineOutput, CommandLineMistakes,
                  CommandLineHelp, CommandLineProcesses, CommandLineChat,
                  CommandLineTerminals; CommandLineTruth: what an answer lacks;
                  CommandLineModels, CommandLineInput, CommandLineHistory: the file,
                  its lock, signals that end a turn; CommandLineSafety,
                  CommandLineDevelopmentMode,
                  CommandLineInPrograms, CommandLineConversations, CommandLineStatus
    readme        Readme: its examples run, its links and names are right
    fuzzing       Fuzzing: random inputs, against oracles
    bench         Bench: the comparison of speed
    two processes how unittest runs all this
    entry points  demo, serve, fuzz, bench

SPDX-License-Identifier: MIT
"""

import array
import asyncio
import atexit
import base64
import collections
import contextlib
import copy
import email.utils
import functools
import gc
import gzip
import http.client
import importlib.util
import inspect
import io
import itertools
import json
import logging
import math
import operator
import os
import pathlib
import pickle
import py_compile
import pydoc
import random
import re
import select
import shutil
import signal
import socket
import ssl
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import unittest
import urllib.request
import warnings
import weakref
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from unittest import mock

try:
    import tracemalloc
except ImportError:  # PyPy
    tracemalloc = None

import siraya_chat
from siraya_chat import (
    NOT_GIVEN,
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AsyncClient,
    AsyncStream,
    AuthenticationError,
    BadRequestError,
    Client,
    Completion,
    ConflictError,
    InternalServerError,
    JSONObject,
    NotFoundError,
    PaymentRequiredError,
    PermissionDeniedError,
    RateLimitError,
    ResponseError,
    SirayaError,
    SSEParser,
    Stream,
    StreamError,
    UnprocessableEntityError,
    assistant,
    attach,
    audio,
    build_request,
    image,
    json_schema,
    omit,
    pdf,
    system,
    tool_result,
    user,
    video,
)

# === stand-in =========================================================================


KEY = "sk-test-0123456789"
CLOSE, RESET, SILENCE = "close", "reset", "silence"  # steps of an answer, see StandIn
SSE_HEAD = (
    b"HTTP/1.1 200 OK\r\n"
    b"Content-Type: text/event-stream\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
JSON_HEAD = SSE_HEAD.replace(b"text/event-stream", b"application/json")


def completion(text, finish_reason="stop", usage=None, **message):
    """A whole answer of one choice."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1700000000,
        "model": "stand-in",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text, **message},
                "finish_reason": finish_reason,
            }
        ],
        "usage": usage
        or {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }


def chunk(content=None, finish_reason=None, index=0, **delta):
    """One chunk of a streamed answer."""
    if content is not None:
        delta["content"] = content
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1700000000,
        "model": "stand-in",
        "choices": [{"index": index, "delta": delta, "finish_reason": finish_reason}],
    }


def event(data, **fields):
    """One Server-Sent Event, of a text or of a JSON value."""
    fields["data"] = data if isinstance(data, str) else json.dumps(data)
    lines = ["%s: %s\n" % field for field in fields.items()]
    return "".join(lines).encode() + b"\n"


def framed(data):
    """Bytes as one chunk of HTTP's chunked coding; of no bytes, the last one."""
    return b"%x\r\n%s\r\n" % (len(data), data)


LAST = framed(b"")


def sse(*events, chunked=True):
    """A whole streamed answer.  Without *chunked* its end is that of the connection."""
    events = [data if isinstance(data, bytes) else event(data) for data in events]
    if chunked:
        return SSE_HEAD + b"".join(map(framed, events)) + LAST
    head = SSE_HEAD.replace(b"Transfer-Encoding: chunked", b"Connection: close")
    return head + b"".join(events)


def http_answer(status, body=b"", **headers):
    """A whole answer with its Content-Length.

    *body*: bytes, a text, or a list or dict that is sent as JSON.  An underscore in a
    header's name stands for a hyphen.
    """
    kind = "text/plain"
    if isinstance(body, (dict, list)):
        kind = "application/json"
        body = json.dumps(body)
    if isinstance(body, str):
        body = body.encode()
    head = {"Content-Type": kind}
    head.update((name.replace("_", "-"), value) for name, value in headers.items())
    head.setdefault("Content-Length", len(body))
    reason = http.client.responses.get(status, "Unknown")
    lines = ["HTTP/1.1 %d %s" % (status, reason)]
    lines += ["%s: %s" % field for field in head.items()]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def describe(received, pause=0.0):
    """The answer that says what was received, as a service would give it: streamed or
    not, as text, as JSON by the schema that was asked for, or as calls of the tools.
    *pause*: seconds between its chunks."""
    if received.method == "GET":  # the list of models
        models = [{"id": siraya_chat.DEFAULT_MODEL, "object": "model"}]
        return http_answer(200, {"object": "list", "data": models})
    asked = received.json
    words, calls, reason = described(asked)
    usage = usage_of(asked, words, calls)
    if not asked.get("stream"):
        message = {"tool_calls": calls} if calls else {}
        text = "".join(words) or None
        return http_answer(200, completion(text, reason, usage, **message))
    chunks = [chunk("" if words else None, role="assistant")]
    chunks += [chunk(word) for word in words]
    for number, call in enumerate(calls):
        chunks.append(chunk(tool_calls=[dict(call, index=number)]))
    chunks.append(chunk(None, reason))
    if (asked.get("stream_options") or {}).get("include_usage"):
        chunks.append(dict(chunk(), choices=[], usage=usage))
    steps = [SSE_HEAD]
    for data in chunks:
        steps += [framed(event(data)), pause]
    steps.append(framed(event("[DONE]")) + LAST)
    return steps


def usage_of(asked, words, calls):
    """Tokens as a model counts them, about: a word, a sign, four letters each."""
    said, given = json.dumps(asked["messages"]), "".join(words) + json.dumps(calls)
    counts = [len(re.findall(r"\w{1,4}|[^\w\s]", text)) for text in (said, given)]
    return {
        "prompt_tokens": counts[0],
        "completion_tokens": counts[1],
        "total_tokens": sum(counts),
        "cost": round(counts[0] * 1e-6 + counts[1] * 5e-6, 6),
    }


def described(asked):
    """What `describe` answers to a request's JSON: words, tool calls, finish_reason."""
    messages, tools = asked["messages"], asked.get("tools") or []
    if messages[-1]["role"] == "tool":
        results = [it["content"] for it in messages if it["role"] == "tool"]
        return ["The tools said: ", ", ".join(map(str, results)), "."], [], "stop"
    if tools and asked.get("tool_choice") != "none":
        return [], [call_of(tool, n) for n, tool in enumerate(tools, 1)], "tool_calls"
    form = asked.get("response_format") or {}
    if form.get("type", "text") != "text":
        schema = form.get("json_schema", form).get("schema") or {"type": "object"}
        text = json.dumps(filled(schema, "", schema))
        return [text[: len(text) // 2], text[len(text) // 2 :]], [], "stop"
    parts = []
    for message in messages:
        parts += described_parts(message.get("content"))
    text = (
        "I am a stand-in for the service. I received: model %s; %d %s (%s); parts: %s."
    ) % (
        asked["model"],
        len(messages),
        "messages" if len(messages) > 1 else "message",
        ", ".join(message["role"] for message in messages),
        ", ".join(parts) or "none",
    )
    return re.findall(r"\S+ ?", text), [], "stop"


def call_of(tool, number):
    """A call of a tool with arguments by its own schema."""
    function = tool["function"]
    schema = function.get("parameters") or {"type": "object"}
    arguments = json.dumps(filled(schema, function["name"], schema))
    named = {"name": function["name"], "arguments": arguments}
    return {"id": "call_%d" % number, "type": "function", "function": named}


def filled(schema, name, root):
    """A value that fits a JSON Schema: texts are the names of their properties."""
    if "$ref" in schema:
        found = root
        for step in schema["$ref"].split("/")[1:]:
            found = found[step]
        return filled(found, name, root)
    for choices in ("anyOf", "oneOf", "allOf"):
        if schema.get(choices):
            return filled(schema[choices][0], name, root)
    if "enum" in schema:
        return schema["enum"][0]
    if "const" in schema:
        return schema["const"]
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if isinstance(kind, list):
        kind = kind[0]
    if kind == "object":
        fields = (schema.get("properties") or {}).items()
        return {field: filled(inner, field, root) for field, inner in fields}
    if kind == "array":
        return [filled(schema.get("items") or {}, name, root)]
    least = schema.get("minimum", 1)
    values = {"integer": int(least), "number": float(least), "boolean": True}
    return dict(values, null=None).get(kind, name)


def described_parts(content):
    """What a message's content consists of: ["text 24 characters",
    "image_url image/png 68 bytes"]."""
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    parts = []
    for part in content or ():
        kind = part["type"]
        value = part.get(kind)
        if kind == "text":
            parts.append("text %d characters" % len(value))
            continue
        source = value.get("url") or value.get("file_data") or value.get("data") or ""
        if source.startswith("http"):
            parts.append("%s %s" % (kind, source))
            continue
        head, _, data = source.rpartition(",")
        form = head[len("data:") :].partition(";")[0] or value.get("format", "")
        size = len(data) * 3 // 4 - data[-2:].count("=")
        parts.append("%s %s %d bytes" % (kind, form, size))
    return parts


class Received:
    """A request as it arrived."""

    def __init__(self, connection, method, target, headers):
        self.connection = connection  # its number, from 1
        self.method, self.target = method, target
        self.headers = headers  # with names in lower case
        self.time = time.monotonic()
        self.body = b""  # empty if it was larger than StandIn's *keep*
        self.checksum = 0  # the CRC-32 of the body, kept or not

    @property
    def json(self):
        return json.loads(self.body.decode())


class StandIn:
    """A real HTTP server on a free loopback port that says what a script tells it,
    whatever bytes that may be.

    Item n of the script answers request n; the last one is repeated; without a script,
    `describe` answers.  An item is bytes, a list of steps, or a function of the
    `Received` request that gives one of these.  The steps:

    bytes           are sent
    a number        a pause in seconds
    an Event        is waited for
    CLOSE           ends the connection
    RESET           aborts it
    SILENCE         waits for the client to end it
    a socket        takes over: bytes go to and fro between it and the client

    *greeting*: steps before a connection's first request is read.  *tls*: an
    ssl.SSLContext.  *keep*: bodies of more bytes are not kept.  *early*: it answers
    when it has the head of a request, and reads no body.  *port*: 0 is a free one.
    """

    def __init__(
        self, *script, greeting=(), tls=None, keep=math.inf, early=False, port=0
    ):
        self._script = script or (describe,)
        self._greeting = greeting
        self._tls = tls
        self._keep = keep
        self._early = early
        self._wanted_port = port  # 0: a free one
        self.requests = []  # of all connections, in the order of their arrival
        self.connections = 0  # how many there were
        self.closed = set()  # the numbers of the connections that have ended
        self._change = threading.Condition()  # guards what stands above and _sockets
        self._sockets, self._threads, self._stopping = set(), [], False

    def __enter__(self):
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(("127.0.0.1", self._wanted_port))
        self._listener.listen(128)
        self.port = self._listener.getsockname()[1]
        self.address = "127.0.0.1:%d" % self.port
        scheme = "https" if self._tls else "http"
        self.base_url = "%s://%s/v1" % (scheme, self.address)
        self._start(self._accept)
        return self

    def __exit__(self, *exception):
        self._stopping = True
        # A connection wakes the accepting thread.
        socket.create_connection(self._listener.getsockname()).close()
        self._threads[0].join()
        with self._change:
            sockets = list(self._sockets)
        for connection in sockets:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        self._listener.close()

    def wait(self, condition, timeout=20.0):
        """Whether *condition*, a function, comes true in time; it is asked whenever
        something happens here."""
        with self._change:
            return self._change.wait_for(condition, timeout)

    def wait_asked(self, timeout=20.0):
        """Whether a request has arrived, or does so in time."""
        return self.wait(lambda: self.requests, timeout)

    def wait_closed(self, timeout=20.0):
        """Whether the connection of the last request has ended, or does so in time."""
        return self.wait(lambda: self.requests[-1].connection in self.closed, timeout)

    def _start(self, target, *arguments):
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()
        return thread

    def _accept(self):
        while True:
            connection = self._listener.accept()[0]
            if self._stopping:
                connection.close()
                return
            with self._change:
                self.connections += 1
                self._sockets.add(connection)
            self._start(self._serve, connection, self.connections)

    def _serve(self, raw, number):
        """The life of one connection."""
        connection = raw
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if not self._play(connection, self._greeting):
                return
            if self._tls:
                connection = self._tls.wrap_socket(raw, server_side=True)
                with self._change:
                    self._sockets.add(connection)
            with connection.makefile("rb") as stream:
                while self._play(connection, self._answer(stream, number)):
                    pass
        except (OSError, ValueError):  # the client's doing, and what the script wanted
            pass
        finally:
            connection.close()
            with self._change:
                self._sockets -= {raw, connection}
                self.closed.add(number)
                self._change.notify_all()

    def _answer(self, stream, number):
        """Reads a request; gives the steps that answer it."""
        line = stream.readline()
        if not line:
            raise ConnectionResetError
        method, target, _ = line.decode("latin-1").split(" ", 2)
        headers = self._read_headers(stream)
        received = Received(number, method, target, headers)
        if not self._early:
            self._read_body(stream, received)
        with self._change:
            self.requests.append(received)
            steps = self._script[min(len(self.requests), len(self._script)) - 1]
            self._change.notify_all()
        if callable(steps):
            steps = steps(received)
        return [steps] if isinstance(steps, bytes) else steps

    @staticmethod
    def _read_headers(stream):
        headers = {}
        line = stream.readline()
        while line.strip():  # http.client would do it too, but slow down the bench
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
            line = stream.readline()
        return headers

    def _read_body(self, stream, received):
        left = int(received.headers.get("content-length", 0))
        keep = left <= self._keep
        blocks = []
        while left:
            block = stream.read(min(left, 1 << 16))
            if not block:
                raise ConnectionResetError
            left -= len(block)
            received.checksum = zlib.crc32(block, received.checksum)
            if keep:
                blocks.append(block)
        received.body = b"".join(blocks)

    def _play(self, connection, steps):
        """Carries out the steps; says whether the connection remains."""
        stays = True
        for step in steps:
            if isinstance(step, bytes):
                connection.sendall(step)
                if b"connection: close" in step[:9999].lower():
                    stays = False
            elif isinstance(step, threading.Event):
                step.wait(10)
            elif step == SILENCE:
                while connection.recv(1 << 16):
                    pass
                return False
            elif step == CLOSE:
                return False
            elif step == RESET:
                no_linger = struct.pack("ii", 1, 0)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, no_linger)
                return False
            elif isinstance(step, socket.socket):
                with step:
                    back = self._start(self._pump, connection, step)
                    self._pump(step, connection)
                    back.join(10)
                return False
            else:
                time.sleep(step)
        return stays

    @staticmethod
    def _pump(source, sink):
        """Hands on what comes from one socket to another, to its end."""
        with contextlib.suppress(OSError):
            data = source.recv(1 << 16)
            while data:
                sink.sendall(data)
                data = source.recv(1 << 16)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


# === inside ===========================================================================


# The tests use what users may use.  The rest stands here, so that the module can be
# rewritten without looking for what pins it.  Nothing private is named.

LIMITS = {  # constants of the module that tests change, and what they are as shipped
    name: getattr(siraya_chat, name)
    for name in (
        "MIN_BACKOFF",  # seconds before a retry: at least, and at most where it ...
        "MAX_BACKOFF",  # ... has grown
        "MAX_RETRY_AFTER",  # seconds that a server may ask for
        "DRAIN_SECONDS",  # for what follows [DONE], before a connection is used again
        "MAX_IDLE_SECONDS",  # after which a kept connection is not used any more
        "MAX_IDLE_CONNECTIONS",  # that are kept
        "MAX_ANSWER_BYTES",  # of an answer
        "MAX_WIRE_BYTES",  # of an answer with HTTP's framing
        "MAX_ERROR_BODY_BYTES",  # of an answer that is an error
        "MAX_JSON_MEMORY",  # of the values of a JSON text
        "LOCK_SECONDS",  # for a history that another program has locked
    )
}
LONGEST = 1000  # characters of an error's message


def set_limit(name, value):
    if name not in LIMITS:
        raise KeyError(name)
    setattr(siraya_chat, name, value)


def names_resolve_to(*ports, families=()):
    """While it lasts, every host name has these ports of this machine as addresses,
    behind one of each of these families."""
    addresses = [
        (family, socket.SOCK_STREAM, 0, "", ("127.0.0.1", port))
        for family, port in [(family, 1) for family in families]
        + [(socket.AF_INET, port) for port in ports]
    ]
    return mock.patch("socket.getaddrinfo", return_value=addresses)


def is_inside_the_module(frame):
    """Whether this frame, or one that called it, runs the module's code."""
    while frame and frame.f_globals is not vars(siraya_chat):
        frame = frame.f_back
    return frame is not None


# === helpers ==========================================================================


HERE = os.path.dirname(os.path.abspath(__file__))
MODULE = os.path.abspath(siraya_chat.__file__)
COMMAND = (sys.executable, "-m", "siraya_chat")
EITHER = (ValueError, TypeError)  # where both would be a good answer
# Line ends, and what a terminal would obey.
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")

# The answer that most tests get: "Once upon", as chunks, whole, and streamed.
ONCE, UPON, END = chunk("Once"), chunk(" upon"), chunk(None, "stop")
BODY = json.dumps(completion("Once upon"))
ANSWER = http_answer(200, completion("Once upon"))
STREAM = sse(ONCE, UPON, END, "[DONE]")
BEGUN = SSE_HEAD + framed(event(ONCE) + event(UPON))
BROKEN = [BEGUN, CLOSE]  # a stream that is cut off
HELD = [SSE_HEAD + framed(event(ONCE)), SILENCE]  # one that never goes on
REFUSAL = {
    "error": {"message": "bad model", "type": "invalid", "param": "model", "code": "m1"}
}
# The pause is for systems where a reset wipes out what has arrived and is not yet
# read; Linux hands it over.
RESET_LATER = (0.05, RESET)

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(range(256)) * 3
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "…",
        "parameters": {"type": "object"},
        "strict": True,
    },
}
SCHEMA = {
    "type": "object",
    "properties": {"answer": {"type": "integer"}},
    "required": ["answer"],
}


def objects(value):
    """A JSON value as an answer brings it: its objects readable as attributes."""
    return json.loads(json.dumps(value), object_hook=JSONObject)


def assembled(*chunks):
    """The completion that a stream of these chunks comes to."""
    with StandIn(sse(*chunks, "[DONE]")) as server:
        with Client(KEY, server.base_url, model="m") as client:
            return client.stream("hi").get_final_completion()


def tool_call(index, id=None, name=None, arguments=None, **more):
    """A tool call as a chunk brings it; what is ``None`` is left out."""
    call = {"index": index, "id": id}
    function = {"name": name, "arguments": arguments}
    call = {key: value for key, value in call.items() if value is not None}
    function = {key: value for key, value in function.items() if value is not None}
    return dict(call, function=function, **more)


def nested(depth, innermost):
    """A value inside so many lists."""
    for _ in range(depth):
        innermost = [innermost]
    return innermost


def text64(content):
    return base64.b64encode(content).decode()


def coded(wbits, *pieces):
    """The pieces in one coding, each flushed so that it can be decoded on arrival.

    *wbits*: 31 for gzip, 15 for deflate, -15 for bare deflate.
    """
    coder = zlib.compressobj(9, zlib.DEFLATED, wbits)
    coded = [coder.compress(data) + coder.flush(zlib.Z_SYNC_FLUSH) for data in pieces]
    coded[-1] += coder.flush()
    return coded


def headers_of(fields):
    """Headers as http.client gives them: names in any case."""
    message = http.client.HTTPMessage()
    for name, value in fields.items():
        message[name] = value
    return message


def http_date(seconds):
    """The date of so many seconds from now."""
    return email.utils.formatdate(time.time() + seconds, usegmt=True)


def growth(work, small, large):
    """How many times the processor's time *work(large)* takes of *work(small)*: the
    best of some tries each."""

    def best(size):
        times = []
        for _ in range(3):
            start = time.process_time()
            work(size)
            times.append(time.process_time() - start)
        return max(min(times), 1e-4)

    return best(large) / best(small)


def memory(call):
    """The most bytes that Python held at a time while it called, and those that it
    still held afterwards."""
    if tracemalloc is None:
        raise unittest.SkipTest("needs tracemalloc")
    tracemalloc.start()
    try:
        call()
        held, peak = tracemalloc.get_traced_memory()
        return peak, held
    finally:
        tracemalloc.stop()


def ask(client, streamed):
    """The completion of a whole call, or of a streamed one."""
    if streamed:
        return client.stream("hi").get_final_completion()
    return client.complete("hi")


@functools.lru_cache(None)
def compiled_module():
    """A folder that holds the module in compiled form alone, so that a process need not
    compile it."""
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    compiled = os.path.join(folder, "siraya_chat.pyc")
    py_compile.compile(MODULE, compiled, MODULE, doraise=True)
    return folder


def own_environment(server=None, **changes):
    """The environment of a command: that of the `Test`, a key, the server's address.
    *changes*: variables; what is ``None`` goes."""
    environment = dict(os.environ, SIRAYA_API_KEY=KEY, PYTHONIOENCODING="utf-8")
    environment["PYTHONPATH"] = compiled_module()
    environment["SIRAYA_BASE_URL"] = "https://nowhere.invalid/v1"
    if server:
        environment["SIRAYA_BASE_URL"] = server.base_url
    environment.update(changes)
    return {name: value for name, value in environment.items() if value is not None}


Outcome = collections.namedtuple("Outcome", "status out err")


def run_main(server, *arguments, stdin="", **changes):
    """The outcome of `main` in this process.  *stdin*: a text, bytes or a file;
    *changes* are of its environment."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8") for _ in range(2))
    if isinstance(stdin, str):
        stdin = stdin.encode()
    if isinstance(stdin, bytes):
        stdin = io.TextIOWrapper(io.BytesIO(stdin), "utf-8")
    environment = own_environment(server, **changes)
    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.dict(os.environ, environment, clear=True))
        stack.enter_context(warnings.catch_warnings())
        stack.enter_context(
            mock.patch.multiple(sys, stdin=stdin, stdout=out, stderr=err)
        )
        status = siraya_chat.main(list(arguments))
    for stream in (out, err):
        stream.flush()
    return Outcome(
        status, out.buffer.getvalue().decode(), err.buffer.getvalue().decode()
    )


def default_interrupt():
    """Have Ctrl-C raise, in a child: a runner in the background may have it ignored,
    and its children inherit that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def start_process(
    server,
    *command,
    stdin=subprocess.DEVNULL,
    stdout=subprocess.PIPE,
    cwd=None,
    preexec_fn=None,
    **changes,
):
    """A process with pipes; *changes* are of its environment."""
    return subprocess.Popen(
        command,
        stdin=stdin,
        stdout=stdout,
        stderr=subprocess.PIPE,
        cwd=cwd,
        env=own_environment(server, **changes),
        preexec_fn=preexec_fn,  # noqa: PLW1509
    )


def wait_until_it_waits(process):
    """Returns when a process has nothing to do, so that a signal finds it waiting: just
    before a wait it would go unnoticed.  Elsewhere than on Linux, at once."""
    with contextlib.suppress(OSError):
        state = "R"
        while state in "RD":
            with open("/proc/%d/stat" % process.pid) as file:
                state = file.read().rpartition(")")[2].split()[0]


def run_process(server, *command, stdin=b"", **options):
    """The outcome of a process, see `start_process`, to which *stdin* is piped."""
    with start_process(server, *command, stdin=subprocess.PIPE, **options) as process:
        try:
            out, err = process.communicate(stdin, timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    out, err = [(data or b"").decode("utf-8", "replace") for data in (out, err)]
    return Outcome(process.returncode, out, err)


@contextlib.contextmanager
def unused_port():
    """A port where no one listens, and that no one else takes, since it is bound."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        yield unused.getsockname()[1]


class Test(unittest.TestCase):
    """A test with an environment of its own; its stand-ins, clients and files are gone
    after it."""

    maxDiff = None

    def setUp(self):
        environment = mock.patch.dict(os.environ)
        environment.start()
        self.addCleanup(environment.stop)
        of_the_developer = re.compile(r"SIRAYA_|PYTHON|.*_proxy\Z|SSL_CERT_", re.I)
        for name in filter(of_the_developer.match, list(os.environ)):
            del os.environ[name]
        # Retries come at once, and a machine under load has time for what follows
        # [DONE].
        self.limit(MIN_BACKOFF=0.001, MAX_BACKOFF=0.002, DRAIN_SECONDS=5.0)

    def limit(self, **limits):
        """Changes limits of the module, see `LIMITS`, for this test."""
        for name, value in limits.items():
            self.addCleanup(set_limit, name, LIMITS[name])
            set_limit(name, value)

    def serve(self, *script, **options):
        server = StandIn(*script, **options)
        server.__enter__()
        self.addCleanup(server.__exit__)
        return server

    def client(self, server, **options):
        """A client of a stand-in or a URL."""
        url = server if isinstance(server, str) else server.base_url
        options.setdefault("model", "m")
        options.setdefault("timeout", 30.0)  # so that no test hangs
        client = Client(KEY, url, **options)
        self.addCleanup(client.close)
        return client

    def both(self, client):
        """A whole call and a streamed one: (name, function that gives the
        completion)."""
        return [
            ("complete", functools.partial(ask, client, False)),
            ("stream", functools.partial(ask, client, True)),
        ]

    def file(self, name, content, mode=0o644):
        """The path of a new file in the test's folder."""
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)
        os.chmod(path, mode)
        return path

    @property
    def folder(self):
        if not hasattr(self, "_folder"):
            self._folder = tempfile.mkdtemp()
            self.addCleanup(shutil.rmtree, self._folder)
        return self._folder

    def refused(self, error, words, function, *args, **named):
        """*function* raises exactly this class, or one of these, with every one of the
        words in a message of one bounded line.  Gives the error."""
        with self.assertRaises(error) as caught:
            function(*args, **named)
        try:
            raised = caught.exception
            said = str(raised)
            self.assertIn(type(raised), error if isinstance(error, tuple) else (error,))
            self.assertTrue(said.isprintable(), repr(said))
            bound = LONGEST if isinstance(raised, SirayaError) else 1500
            self.assertLessEqual(len(said), bound)
            for word in words:
                self.assertIn(word, said)
            return raised
        finally:
            # Its cause's traceback refers to this frame: together they would be a
            # cycle.
            del caught, raised

    def side_by_side(self, check, rows):
        """*check* holds for every row of arguments; some are looked at at a time, since
        most of the time goes into waiting for processes and servers."""
        with ThreadPoolExecutor(4) as threads:
            checks = [threads.submit(check, *row) for row in rows]
        for row, checked in zip(rows, checks):
            with self.subTest(repr(row)[:200]):
                checked.result()

    def assert_close_wakes_a_reader(self, client, server):
        """close() from another thread ends the request, and a loop that waits for a
        chunk with an error."""
        stream, first = client.stream("hi"), threading.Event()
        with ThreadPoolExecutor(1) as thread:
            reading = thread.submit(lambda: [first.set() for _ in stream])
            self.assertTrue(first.wait(20))
            stream.close()
            error = self.refused(StreamError, ["closed"], reading.result, 20)
            self.assertEqual(error.partial.text, "Once")
        self.assertTrue(server.wait_closed())

    def assert_one_line(self, err, words=""):
        """*err* is one line, no traceback, and holds the words."""
        self.assertRegex(err, r"\A[^\n]+\n\Z")
        self.assertNotIn("Traceback", err)
        self.assertIn(words, err)


# === errors ===========================================================================


ALIASES = ("APIError", "OpenAIError")  # other names of SirayaError
ERRORS = [
    getattr(siraya_chat, name)
    for name in siraya_chat.__all__
    if name.endswith("Error") and name not in ALIASES
]
ANCESTORS = {
    "APIConnectionError": "SirayaError",
    "APITimeoutError": "APIConnectionError",
    "APIStatusError": "SirayaError",
    "BadRequestError": "APIStatusError",
    "AuthenticationError": "APIStatusError",
    "PaymentRequiredError": "APIStatusError",
    "PermissionDeniedError": "APIStatusError",
    "NotFoundError": "APIStatusError",
    "ConflictError": "APIStatusError",
    "UnprocessableEntityError": "APIStatusError",
    "RateLimitError": "APIStatusError",
    "InternalServerError": "APIStatusError",
    "ResponseError": "SirayaError",
    "StreamError": "ResponseError",
    "SirayaError": "Exception",
}
RETRY_AFTER = (  # headers of an answer, the seconds that they ask for
    ({}, None),
    ({"Retry-After": "3"}, 3.0),
    ({"retry-after": " 2.5 "}, 2.5),
    ({"Retry-After": "0"}, 0.0),
    ({"Retry-After": "86400"}, 86400.0),
    ({"Retry-After": "-5"}, None),
    ({"Retry-After": "nan"}, None),
    ({"Retry-After": "inf"}, None),
    ({"Retry-After": "1e999"}, None),
    ({"Retry-After": ""}, None),
    ({"Retry-After": "soon"}, None),
    ({"Retry-After": "Wed"}, None),
    ({"Retry-After": "Wed, 99 Foo 2026 07:28:00 GMT"}, None),
    ({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
    ({"Retry-After": "Fri, 31 Dec 99999 23:59:59 GMT"}, None),
    ({"Retry-After": "9" * 5000}, None),
    ({"retry-after-ms": "250"}, 0.25),
    ({"retry-after-ms": "250", "Retry-After": "9"}, 0.25),
    ({"retry-after-ms": "-1", "Retry-After": "9"}, 9.0),
    ({"retry-after-ms": "nan", "Retry-After": "9"}, 9.0),
    ({"retry-after-ms": "soon", "Retry-After": "9"}, 9.0),
)
STATUSES = (  # status, its error, how often the request is sent with two retries
    (400, BadRequestError, 1),
    (401, AuthenticationError, 1),
    (402, PaymentRequiredError, 1),
    (403, PermissionDeniedError, 1),
    (404, NotFoundError, 1),
    (405, APIStatusError, 1),
    (408, APIStatusError, 3),
    (409, ConflictError, 3),
    (413, APIStatusError, 1),
    (422, UnprocessableEntityError, 1),
    (429, RateLimitError, 3),
    (500, InternalServerError, 3),
    (502, InternalServerError, 3),
    (503, InternalServerError, 3),
    (504, InternalServerError, 1),
    (524, InternalServerError, 1),
    (529, InternalServerError, 3),
    (599, InternalServerError, 3),
)
BARE = (None, None, None)  # neither code nor type nor param
ERROR_BODIES = (  # body of a 400, what the message holds, (code, type, param)
    (json.dumps(REFUSAL), "bad model", ("m1", "invalid", "model")),
    ('{"error": {"message": "bad model", "code": 4}}', "bad model", (4, None, None)),
    ('{"error": "bad model"}', "bad model", BARE),
    ('{"error": "bad model", "code": "m1"}', "bad model", ("m1", None, None)),
    ('{"errors": [{"message": "bad model"}]}', "Bad Request: bad model", BARE),
    ('{"message": "bad model", "code": "m1"}', "bad model", ("m1", None, None)),
    ('{"detail": "bad model"}', "bad model", BARE),
    ('"bad model"', "bad model", BARE),
    ('{"error": null}', "HTTP 400", BARE),
    ('{"error": []}', "HTTP 400", BARE),
    ('{"error": {"message": {"deep": [1]}}}', "HTTP 400", BARE),
    ("[1, 2]", "HTTP 400", BARE),
    ("null", "HTTP 400", BARE),
    ("", "HTTP 400", BARE),
    ("<html><head><title>bad model</title></head></html>", "bad model", BARE),
    (b"bad model \xff\xfe", "bad model", BARE),
    ('{"error": {"message": "bad \\u001b[31m\\r\\n model"}}', "bad [31m model", BARE),
    ("[" * 100000, "HTTP 400", BARE),
    ('{"error":' * 100000, "HTTP 400", BARE),
    ('{"error": {"message": "bad model %s"}}' % ("x" * 100000), "bad model", BARE),
)


class Errors(Test):
    def test_every_error_is_a_siraya_error(self):
        for error in ERRORS:
            with self.subTest(error.__name__):
                self.assertTrue(issubclass(error, SirayaError))

    def test_the_text_of_an_error_is_one_bounded_line(self):
        for error in ERRORS:
            with self.subTest(error.__name__):
                text = str(error("first\r\nsecond\x1b[31m\u2028third\x85\x00" * 5000))
                self.assertTrue(text.startswith("first second [31m third"), text[:60])
                self.assertIsNone(CONTROL.search(text))
                self.assertLessEqual(len(text), LONGEST)

    def test_the_classes_stand_under_each_other_as_promised(self):
        bases = {error.__name__: error.__base__.__name__ for error in ERRORS}
        self.assertEqual(bases, ANCESTORS)

    def test_errors_pickle_with_their_attributes(self):
        given = {
            "status_code": 429,
            "code": "slow",
            "type": "rate",
            "param": None,
            "body": {"error": {"code": "slow"}},
            "request_id": "r1",
            "retry_after": 1.5,
        }
        protocols = range(pickle.HIGHEST_PROTOCOL + 1)
        for error, protocol in itertools.product(ERRORS, protocols):
            with self.subTest(error.__name__, protocol=protocol):
                raised = error("it failed")
                vars(raised).update(given, headers=headers_of({"X-Request-Id": "r1"}))
                again = pickle.loads(pickle.dumps(raised, protocol))
                self.assertIs(type(again), error)
                self.assertEqual(str(again), "it failed")
                self.assertEqual({name: getattr(again, name) for name in given}, given)
                self.assertEqual(again.headers["x-request-id"], "r1")

    def test_a_stream_error_pickles_with_what_had_arrived(self):
        partial = assembled(chunk("Hel"), chunk("lo"))
        again = pickle.loads(pickle.dumps(StreamError("cut off", partial=partial)))
        self.assertEqual((str(again), again.partial), ("cut off", partial))
        self.assertIs(type(again.partial), Completion)
        self.assertEqual(again.partial.text, "Hello")

    def test_every_error_travels_between_processes_as_it_was_raised(self):
        for streamed, script, value in (
            (True, [sse(ONCE, UPON)], "Once upon"),
            (False, [http_answer(200, "<html>")], "<html>"),
            (False, [http_answer(200, "{", Content_Length=9), CLOSE], "{"),
        ):
            with self.subTest(value):
                client = self.client(self.serve(script))
                raised = self.refused(tuple(ERRORS), [], ask, client, streamed)
                error = pickle.loads(pickle.dumps(raised))
                self.assertEqual((type(error), str(error)), (type(raised), str(raised)))
                kept = error.partial.text if streamed else error.body
                self.assertEqual(kept, value)

    def test_the_servers_wish_for_a_pause_is_read_from_any_form(self):
        for headers, seconds in RETRY_AFTER:
            with self.subTest(headers):
                error = APIStatusError("slow", None, 429, headers_of(headers))
                self.assertEqual(error.retry_after, seconds)

    def test_a_date_to_come_back_at_is_read_as_the_seconds_until_then(self):
        headers = headers_of({"Retry-After": http_date(40)})
        error = APIStatusError("slow", None, 429, headers)
        self.assertAlmostEqual(error.retry_after, 38, delta=3)

    def test_each_status_has_its_class_and_is_sent_again_where_that_may_help(self):
        for status, kind, sent in STATUSES:
            for streamed in (False, True):
                with self.subTest(status=status, streamed=streamed):
                    server = self.serve(http_answer(status, REFUSAL))
                    client = self.client(server)
                    error = self.refused(kind, ["bad model"], ask, client, streamed)
                    self.assertEqual(error.status_code, status)
                    self.assertEqual(len(server.requests), sent)

    def test_an_error_is_filled_from_any_body(self):
        for body, words, fields in ERROR_BODIES:
            with self.subTest(body[:60]):
                client = self.client(self.serve(http_answer(400, body)))
                error = self.refused(BadRequestError, [words], client.complete, "hi")
                self.assertEqual((error.code, error.type, error.param), fields)

    def test_an_error_carries_what_a_program_needs(self):
        headers = {"X_Request_Id": "req-7", "Retry_After": "120", "X_Left": "0"}
        server = self.serve(http_answer(429, REFUSAL, **headers))
        client = self.client(server, max_retries=0)
        raised = self.refused(RateLimitError, [], client.complete, "hi")
        for error in (raised, pickle.loads(pickle.dumps(raised)), copy.copy(raised)):
            self.assertIs(type(error), RateLimitError)
            self.assertEqual(str(error), str(raised))
            self.assertEqual(error.status_code, 429)
            self.assertEqual(error.request_id, "req-7")
            self.assertEqual(error.retry_after, 120.0)
            self.assertEqual(error.body, REFUSAL)
            self.assertEqual(error.code, "m1")
            self.assertEqual(error.headers["X-LEFT"], "0")

    def test_redirects_are_not_followed_but_named(self):
        elsewhere = self.serve()
        target = elsewhere.base_url + "/chat/completions"
        for status in (301, 302, 303, 307, 308):
            server = self.serve(http_answer(status, "", Location=target))
            for name, call in self.both(self.client(server)):
                with self.subTest(status=status, call=name):
                    error = self.refused(APIStatusError, [target, "base_url"], call)
                    self.assertEqual(error.status_code, status)
            self.assertEqual(len(server.requests), 2)
        self.assertEqual(elsewhere.connections, 0)

    def test_a_redirect_is_named_without_its_query(self):
        target = "https://h.example/v1/chat/completions?code=hidden"
        client = self.client(self.serve(http_answer(307, "", Location=target)))
        for name, call in self.both(client):
            with self.subTest(name):
                words = [target.partition("?")[0]]
                error = self.refused(APIStatusError, words, call)
                self.assertNotIn("hidden", str(error))

    @unittest.skipUnless(
        sys.platform == "linux", "elsewhere the reset may wipe out the answer"
    )
    def test_a_refusal_that_comes_before_the_upload_has_ended_is_heard(self):
        # The server answers and closes without reading the body, so the client's
        # writes fail.
        answer = http_answer(413, {"error": "too big"}, Connection="close")
        client = self.client(self.serve(greeting=(answer, CLOSE)), max_retries=0)
        large = "x" * (8 << 20)
        self.refused(APIStatusError, ["413", "too big"], client.complete, large)


# === data =============================================================================


DEFINED = """
    id object created model choices usage cost cost_details index message delta
    finish_reason logprobs role content refusal tool_calls annotations
    type function name arguments prompt_tokens completion_tokens total_tokens
    prompt_tokens_details completion_tokens_details system_fingerprint service_tier
    cached_tokens reasoning_tokens
    """.split()  # fields of the API
HOSTILE = """
    __deepcopy__ __copy__ __reduce__ __reduce_ex__ __getstate__ __setstate__
    __getnewargs_ex__ __class__ __dict__ __len__ __iter__ __json__ __array_interface__
    """.split()  # keys that Python, or a library, would look for as attributes


class Data(Test):
    def test_a_field_can_be_taken_away_by_its_name(self):
        answer = objects({"id": "a", "model": "m"})
        del answer.id
        self.assertEqual(answer, {"model": "m"})
        with self.assertRaises(AttributeError):
            del answer.id

    def test_keys_read_as_attributes_at_any_depth(self):
        message = {"content": "Hi", "x": [[{"odd_name": 1}]]}
        usage = {"total_tokens": 3}
        answer = objects({"choices": [{"message": message}], "usage": usage})
        self.assertEqual(answer.choices[0].message.content, "Hi")
        self.assertEqual(answer.choices[0].message.x[0][0].odd_name, 1)
        self.assertEqual(answer.usage.total_tokens, 3)

    def test_a_key_that_is_set_later_reads_as_an_attribute_too(self):
        answer = objects({})
        answer["later"] = 5
        self.assertEqual(answer.later, 5)

    def test_a_field_that_the_api_defines_reads_none_where_it_is_absent(self):
        for name in DEFINED:
            with self.subTest(name):
                absent = {"choices": [], "delta": {}}.get(name)
                self.assertEqual(getattr(JSONObject(), name), absent)
                self.assertEqual(getattr(JSONObject({name: 7}), name), 7)

    def test_a_name_that_nobody_defines_raises(self):
        answer = objects({"content": "Hi"})
        for name in ("contents", "choice", "foo", "_private", "texts"):
            with self.subTest(name):
                self.refused(AttributeError, [name], getattr, answer, name)
                self.assertFalse(hasattr(JSONObject(), name))

    def test_it_stays_a_plain_dict(self):
        plain = {
            "choices": [{"delta": {"content": "Hi"}}],
            "items": [1],
            "get": 2,
            "\u00e9": None,
        }
        value = objects(plain)
        self.assertEqual(value, plain)
        self.assertEqual(plain, value)
        self.assertEqual(json.loads(json.dumps(value)), plain)
        self.assertEqual(list(value), list(plain))

    def test_a_key_does_not_hide_a_method_of_dict(self):
        value = objects({"items": [1], "get": 2})
        self.assertEqual(dict(value.items()), {"items": [1], "get": 2})
        self.assertEqual(value.get("get"), 2)

    def test_copies_and_pickles_are_equal_and_of_the_same_type(self):
        hostile = dict.fromkeys(HOSTILE, "boo")
        ways = [copy.copy, copy.deepcopy]
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            ways.append(functools.partial(self.pickled, protocol))
        for value in (
            objects({"a": {"content": [{"index": 1}]}}),
            Completion(objects(completion("Hi", x=hostile))),
            JSONObject(hostile),
            JSONObject({1: 2}),
            Completion(hostile),
        ):
            for way in ways:
                again = way(value)
                self.assertEqual(again, value)
                self.assertIs(type(again), type(value))

    @staticmethod
    def pickled(protocol, value):
        return pickle.loads(pickle.dumps(value, protocol))

    def test_a_deep_copy_can_be_changed_alone(self):
        value = objects({"a": {"content": [1]}})
        deep = copy.deepcopy(value)
        deep["a"]["content"].append(2)
        self.assertEqual(value, {"a": {"content": [1]}})

    def test_what_is_inside_a_deep_copy_still_reads_as_attributes(self):
        self.assertEqual(copy.deepcopy(objects({"a": {"content": 1}})).a.content, 1)

    def test_an_answers_keys_cannot_pose_as_python(self):
        value = objects(dict.fromkeys(HOSTILE, "boo"))
        self.assertIs(value.__class__, JSONObject)
        self.assertEqual(len(value), len(HOSTILE))
        for name in ("__deepcopy__", "__json__", "__array_interface__", "__copy__"):
            self.assertFalse(hasattr(value, name), name)
        self.assertEqual(value["__json__"], "boo")

    def test_a_completion_has_short_ways_to_its_first_choice(self):
        two = objects(completion("One", finish_reason="length"))
        two["choices"] += objects(completion("Two"))["choices"]
        calling = objects(completion(None, "tool_calls", tool_calls=[CALL]))
        for answer, text, tool_calls, reason in (
            (objects(completion("Hi")), "Hi", [], "stop"),
            (two, "One", [], "length"),
            (calling, "", [CALL], "tool_calls"),
            (objects(completion(None, tool_calls=None)), "", [], "stop"),
            ({"choices": [JSONObject(message=None)]}, "", [], None),
            ({"choices": [JSONObject()]}, "", [], None),
            ({"choices": []}, "", [], None),
            ({}, "", [], None),
        ):
            with self.subTest(answer):
                reply = Completion(answer)
                self.assertEqual(reply.text, text)
                self.assertEqual(reply.tool_calls, tool_calls)
                self.assertIsInstance(reply.tool_calls, list)
                self.assertEqual(reply.finish_reason, reason)

    def test_the_message_is_that_of_the_first_choice_or_none(self):
        answer = Completion(objects(completion("One")))
        self.assertIs(answer.message, answer["choices"][0]["message"])
        self.assertIsNone(Completion().message)

    def test_short_ways_keep_their_types_whatever_the_server_sent(self):
        for content in (5, True, {"a": 1}, None, [1], [{"a": 1}]):
            with self.subTest(content):
                answer = completion(content, tool_calls=content or "text")
                reply = Completion(objects(answer))
                self.assertIsInstance(reply.text, str)
                self.assertIsInstance(reply.tool_calls, list)

    def test_the_text_parses_as_json(self):
        for text, value in (
            ('{"a": {"b": [1, null]}}', {"a": {"b": [1, None]}}),
            ("[]", []),
            (" 42\n", 42),
            ('"x"', "x"),
        ):
            self.assertEqual(Completion(objects(completion(text))).json(), value)

    def test_the_parsed_text_reads_as_attributes(self):
        reply = Completion(objects(completion('{"a": {"b": 1}}')))
        self.assertEqual(reply.json().a.b, 1)

    def test_a_text_that_is_no_json_is_an_error_with_the_text(self):
        for text in (
            "",
            None,
            "Sure! {}",
            '{"a": 1',
            "{} {}",
            "[" * 100000,
            "9" * 10 + "x" * 100000,
            "\n\x1b[",
        ):
            with self.subTest((text or "")[:20]):
                reply = Completion(objects(completion(text)))
                self.assertEqual(
                    self.refused(ResponseError, [], reply.json).body, text or ""
                )


# === messages =========================================================================


PICTURE = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
HI_PART, THERE_PART = {"type": "text", "text": "Hi"}, {"type": "text", "text": "there"}
MESSAGES = (  # as it is made, as a person would write it
    (system("Be brief."), {"role": "system", "content": "Be brief."}),
    (user("Hi"), {"role": "user", "content": "Hi"}),
    (user(""), {"role": "user", "content": ""}),
    (user("Hi", "there"), {"role": "user", "content": [HI_PART, THERE_PART]}),
    (user("Hi", PICTURE), {"role": "user", "content": [HI_PART, PICTURE]}),
    (user(PICTURE), {"role": "user", "content": [PICTURE]}),
    (assistant("Hello"), {"role": "assistant", "content": "Hello"}),
    (
        tool_result("call_1", "42"),
        {"role": "tool", "tool_call_id": "call_1", "content": "42"},
    ),
    (
        tool_result("call_1", [HI_PART]),
        {"role": "tool", "tool_call_id": "call_1", "content": [HI_PART]},
    ),
)
WRONG_MESSAGES = (  # error, function, its arguments; the last one is shown
    (ValueError, user, ()),
    (TypeError, user, (5,)),
    (TypeError, user, ("Hi", None)),
    (TypeError, user, (b"Hi",)),
    (TypeError, user, (["Hi"],)),
    (TypeError, system, (None,)),
    (TypeError, system, (b"x",)),
    (TypeError, assistant, (5,)),
    (TypeError, tool_result, ("call_1", b"x")),
)


class Messages(Test):
    def test_messages_are_what_a_person_would_write(self):
        for made, written in MESSAGES:
            with self.subTest(written):
                self.assertEqual(made, written)
                self.assertIs(type(made), dict)

    def test_every_message_that_is_made_can_be_sent(self):
        for made, written in MESSAGES:
            with self.subTest(written):
                self.assertEqual(build_request([made], "m")["messages"], [written])

    def test_wrong_arguments_of_messages_are_named(self):
        for error, function, arguments in WRONG_MESSAGES:
            with self.subTest(function=function.__name__, arguments=arguments):
                words = [repr(value) for value in arguments[-1:]]
                self.refused(error, words, function, *arguments)

    def test_the_id_of_a_tool_call_is_a_string(self):
        self.refused(TypeError, ["tool_call_id", "5"], tool_result, 5, "x")
        for missing in ("", None):
            words = ["tool_call_id", repr(missing), "call.id"]
            self.refused(ValueError, words, tool_result, missing, "x")


# === attachments ======================================================================


REST = b"\1" * 90  # of a file, after what tells its type
KINDS = [  # what, its content, its media type, the helper that takes it
    ("png", PNG, "image/png", image),
    ("jpeg, JFIF", b"\xff\xd8\xff\xe0\0\x10JFIF\0" + REST, "image/jpeg", image),
    ("jpeg, Exif", b"\xff\xd8\xff\xe1\0\x10Exif\0" + REST, "image/jpeg", image),
    ("gif, 1987", b"GIF87a" + REST, "image/gif", image),
    ("gif, 1989", b"GIF89a" + REST, "image/gif", image),
    ("webp", b"RIFF\x99\0\0\0WEBPVP8 " + REST, "image/webp", image),
    ("pdf", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n" + REST, "application/pdf", pdf),
    ("wav", b"RIFF\x99\0\0\0WAVEfmt " + REST, "audio/wav", audio),
    ("mp3, ID3", b"ID3\4\0\0\0\0\0\0" + REST, "audio/mpeg", audio),
    ("mp3, MPEG 1", b"\xff\xfb\x90\x64" + REST, "audio/mpeg", audio),
    ("mp3, MPEG 1 with CRC", b"\xff\xfa\x90\x64" + REST, "audio/mpeg", audio),
    ("mp3, MPEG 2", b"\xff\xf3\x90\x64" + REST, "audio/mpeg", audio),
    ("mp3, MPEG 2.5", b"\xff\xe3\x90\x64" + REST, "audio/mpeg", audio),
    ("mp4, isom", b"\0\0\0\x20ftypisom\0\0\2\0" + REST, "video/mp4", video),
    ("mp4, mp42", b"\0\0\0\x18ftypmp42\0\0\0\0" + REST, "video/mp4", video),
    ("quicktime", b"\0\0\0\x14ftypqt  \0\0\2\0" + REST, "video/quicktime", video),
    ("old quicktime", b"\0\0\x10\0moov\0\0\0lmvhd" + REST, "video/quicktime", video),
    (
        "webm",
        b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\1\x42\xf7\x81\1\x42\x82\x84webm" + REST,
        "video/webm",
        video,
    ),
    ("mpeg, program stream", b"\0\0\1\xba\x44" + REST, "video/mpeg", video),
    ("mpeg, sequence", b"\0\0\1\xb3\x14" + REST, "video/mpeg", video),
]
OF_KIND = {  # an example for each helper: its content, its media type
    image: (PNG, "image/png"),
    pdf: (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n" + REST, "application/pdf"),
    audio: (b"RIFF\x99\0\0\0WAVEfmt " + REST, "audio/wav"),
    video: (b"\0\0\0\x20ftypisom\0\0\2\0" + REST, "video/mp4"),
}
BARE_BYTES = b"\1\2\3\xff no signature"
DOCX = b"PK\3\4\x14\0\6\0" + REST
DOCX_TYPE = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
ENDINGS = (  # a file's name, the media type that it tells, the helper that takes it
    ("a.png", "image/png", image),
    ("a.JPG", "image/jpeg", image),
    ("a.jpeg", "image/jpeg", image),
    ("a.gif", "image/gif", image),
    ("a.webp", "image/webp", image),
    ("a.pdf", "application/pdf", pdf),
    ("a.wav", "audio/wav", audio),
    ("a.mp3", "audio/mpeg", audio),
    ("a.mp4", "video/mp4", video),
    ("a.mov", "video/quicktime", video),
    ("a.mpeg", "video/mpeg", video),
    ("a.mpg", "video/mpeg", video),
    ("a.webm", "video/webm", video),
    ("a.docx", DOCX_TYPE, None),
)
SITE = "https://example.com/"
LINKS = (  # helper, URL, other arguments, kind of the part, its fields beside the URL
    (image, SITE + "cat.png?size=2#top", {}, "image_url", {}),
    (image, "http://example.com/cat", {}, "image_url", {}),
    (image, SITE + "cat", {"detail": "low"}, "image_url", {"detail": "low"}),
    (video, SITE + "clip.mov", {}, "video_url", {}),
    (pdf, SITE + "a/report.pdf?v=1", {}, "file", {"filename": "report.pdf"}),
    (attach, SITE + "cat.JPEG", {}, "image_url", {}),
    (attach, SITE + "a.mp4", {}, "video_url", {}),
    (attach, SITE + "my%20report.pdf", {}, "file", {"filename": "my report.pdf"}),
    (attach, SITE + "a.docx", {}, "file", {"filename": "a.docx"}),
    (attach, SITE + "get?id=1", {"media_type": "image/png"}, "image_url", {}),
)
TEXTS = (  # the name of a text file, its text
    ("notes.txt", "one\ntwo\n"),
    ("script.py", "print('\u00e9')\n"),
    ("data.json", '{"a": 1}'),
    ("table.csv", "a;b\r\n1;2\r\n"),
    ("README", "plain \U0001f600 words"),
    ("doc", "no ending, only the name of one"),
    ("wide", "The wide world of sports"),
    ("tags", "ID3 tags explained"),
    ("box", "any ftyp box is one"),
    ("page.html", "<p>Hi</p>"),
)


def data_url(media_type, content):
    return "data:%s;base64,%s" % (media_type, text64(content))


MISTAKES = (  # error, words of its message, helper, source, other arguments
    (ValueError, ["image/png", "audio"], audio, PNG, {}),
    (ValueError, ["image/png", "video"], video, PNG, {}),
    (ValueError, ["application/pdf", "image"], image, OF_KIND[pdf][0], {}),
    (ValueError, ["application/pdf", "image"], image, SITE + "a.pdf", {}),
    (ValueError, ["image/png", "pdf"], pdf, data_url("image/png", PNG), {}),
    (ValueError, ["image/png", "pdf"], pdf, PNG, {"media_type": "image/png"}),
    (ValueError, ["tiff", "image"], image, data_url("image/tiff", b"II*\0"), {}),
    (ValueError, ["empty"], image, b"", {}),
    (ValueError, ["empty"], attach, bytearray(), {}),
    (ValueError, ["empty"], pdf, io.BytesIO(), {}),
    (TypeError, ["binary"], image, io.StringIO("words"), {}),
    (TypeError, ["binary"], image, io.StringIO(""), {}),
    (TypeError, ["image", "int"], image, 5, {}),
    (TypeError, ["pdf", "NoneType"], pdf, None, {}),
    (TypeError, ["attach", "list"], attach, [PNG], {}),
    (
        ValueError,
        ["detail", "'huge'", "'auto'", "'low'", "'high'"],
        image,
        PNG,
        {"detail": "huge"},
    ),
    (EITHER, ["detail", "5"], image, PNG, {"detail": 5}),
    (ValueError, ["format", "'ogg'", "'wav'", "'mp3'"], audio, PNG, {"format": "ogg"}),
    (ValueError, ["media_type", "'png'"], image, PNG, {"media_type": "png"}),
    (ValueError, ["media_type"], image, PNG, {"media_type": "image/png;base64,x"}),
    (TypeError, ["media_type", "5"], image, PNG, {"media_type": 5}),
    (ValueError, ["audio", "URL", "data"], audio, SITE + "a.mp3", {}),
    (ValueError, ["audio", "URL", "data"], attach, SITE + "a.mp3", {}),
    (
        ValueError,
        ["audio/ogg", "audio/wav"],
        audio,
        data_url("audio/ogg", b"OggS"),
        {"media_type": "audio/ogg"},
    ),
    (ValueError, ["media_type"], audio, b"fLaC\0\0\0\x22" + REST, {}),
    (ValueError, ["base64"], image, "data:image/png,abc", {}),
    (ValueError, ["base64"], image, "data:image/png", {}),
)


def expected_part(helper, content, media_type, filename):
    """The part as a person would write it by hand."""
    url = data_url(media_type, content)
    if helper is image:
        return {"type": "image_url", "image_url": {"url": url}}
    if helper is video:
        return {"type": "video_url", "video_url": {"url": url}}
    if helper is audio:
        form = {"audio/wav": "wav", "audio/mpeg": "mp3"}[media_type]
        data = {"data": text64(content), "format": form}
        return {"type": "input_audio", "input_audio": data}
    return {"type": "file", "file": {"filename": filename, "file_data": url}}


class Drip:
    """A binary file without a name that gives a few bytes at a time, as a pipe does."""

    def __init__(self, content, step):
        self.file, self.step = io.BytesIO(content), step

    def read(self, size=-1):
        return self.file.read(self.step if size < 0 else min(size, self.step))


UNNAMED = "document.pdf"  # what a document is called if nothing says its name
SOURCES = (  # what, a function of a file's path and content that makes it, its name
    ("path", lambda path, content: path, "file.bin"),
    ("PathLike", lambda path, content: pathlib.Path(path), "file.bin"),
    ("bytes", lambda path, content: content, UNNAMED),
    ("bytearray", lambda path, content: bytearray(content), UNNAMED),
    ("memoryview", lambda path, content: memoryview(content), UNNAMED),
    ("a part of one", lambda path, content: memoryview(b"#" + content)[1:], UNNAMED),
    ("array", lambda path, content: array.array("B", content), UNNAMED),
    ("BytesIO", lambda path, content: io.BytesIO(content), UNNAMED),
    ("short reads", lambda path, content: Drip(content, 1021), UNNAMED),
)


class Attachments(Test):
    def test_the_host_of_a_link_is_no_name_of_a_file(self):
        for scheme in ("http", "https"):
            url = scheme + "://cat.mov"
            with self.subTest(url):
                self.assertEqual(image(url)["image_url"]["url"], url)
                self.assertEqual(pdf(url)["file"]["filename"], UNNAMED)

    def test_every_kind_comes_from_every_source(self):
        for helper, (start, media_type) in OF_KIND.items():
            # More than one block, and no multiple of three.
            content = start + bytes(range(256)) * 800
            path = self.file("file.bin", content)
            for what, made_from, filename in SOURCES:
                with self.subTest(helper=helper.__name__, source=what):
                    written = expected_part(helper, content, media_type, filename)
                    # assertEqual would take long to show the difference.
                    self.assertTrue(helper(made_from(path, content)) == written)
                    self.assertTrue(attach(made_from(path, content)) == written)

    def test_an_open_file_is_read_buffered_or_not_and_left_open(self):
        for helper, (content, media_type) in OF_KIND.items():
            path = self.file("file.bin", content)
            written = expected_part(helper, content, media_type, "file.bin")
            for buffering in (-1, 0):
                with self.subTest(helper=helper.__name__, buffering=buffering):
                    with open(path, "rb", buffering) as file:
                        self.assertEqual(helper(file), written)
                        self.assertFalse(file.closed, "it is the caller's to close")

    def test_a_files_first_bytes_say_what_it_is_over_its_name(self):
        for what, content, media_type, helper in KINDS:
            for name in ("nameless", "wrong.png", "wrong.pdf", "wrong.txt", "a.mp3"):
                with self.subTest(what, name=name):
                    path = self.file(name, content)
                    written = expected_part(helper, content, media_type, name)
                    self.assertEqual(attach(path), written)
                    self.assertEqual(helper(path), written)

    def test_the_first_bytes_of_bytes_say_what_they_are(self):
        for what, content, media_type, helper in KINDS:
            with self.subTest(what):
                written = expected_part(helper, content, media_type, UNNAMED)
                self.assertEqual(attach(content), written)

    def test_the_name_decides_where_the_content_has_no_signature(self):
        for name, media_type, helper in ENDINGS:
            with self.subTest(name):
                path = self.file(name, BARE_BYTES)
                written = expected_part(helper, BARE_BYTES, media_type, name)
                self.assertEqual(attach(path), written)
                with open(path, "rb") as file:
                    self.assertEqual(attach(file), written)

    def test_media_type_overrules_the_content_and_the_name(self):
        path = self.file("a.png", PNG)
        for helper, media_type, like in (
            (image, "image/avif", image),
            (attach, "application/pdf", pdf),
            (attach, "application/x-odd", None),
        ):
            with self.subTest(helper=helper.__name__, media_type=media_type):
                written = expected_part(like, PNG, media_type, "a.png")
                self.assertEqual(helper(path, media_type=media_type), written)

    def test_media_type_tells_what_nothing_else_does(self):
        for helper, media_type, like in (
            (image, "image/png", image),
            (pdf, "application/pdf", pdf),
            (audio, "audio/wav", audio),
            (video, "video/x-matroska", video),
            (attach, "video/mp4", video),
        ):
            with self.subTest(helper=helper.__name__, media_type=media_type):
                written = expected_part(like, b"\1\2", media_type, UNNAMED)
                self.assertEqual(helper(b"\1\2", media_type=media_type), written)

    def test_media_type_overrules_what_a_data_url_claims(self):
        self.assertEqual(
            image(data_url("image/png", PNG), media_type="image/gif"),
            expected_part(image, PNG, "image/gif", ""),
        )

    def test_a_format_overrules_what_audio_is(self):
        for content in (b"\1\2", OF_KIND[audio][0]):
            written = expected_part(audio, content, "audio/mpeg", "")
            self.assertEqual(audio(content, format="mp3"), written)

    def test_a_url_is_passed_on_and_judged_by_its_path_alone(self):
        for helper, url, arguments, kind, fields in LINKS:
            with self.subTest(url):
                name = "file_data" if kind == "file" else "url"
                written = {"type": kind, kind: {name: url, **fields}}
                self.assertEqual(helper(url, **arguments), written)

    def test_the_scheme_of_a_url_may_be_in_capitals(self):
        url = image("HTTPS://example.com/Cat")["image_url"]["url"]
        self.assertEqual(url.partition(":")[2], "//example.com/Cat")

    def test_a_data_url_is_passed_on_and_taken_apart_for_audio(self):
        for what, content, media_type, helper in KINDS:
            with self.subTest(what):
                written = expected_part(helper, content, media_type, UNNAMED)
                self.assertEqual(helper(data_url(media_type, content)), written)
                self.assertEqual(attach(data_url(media_type, content)), written)

    def test_other_names_of_an_audio_type_are_known(self):
        data = {"data": "AAAA", "format": "mp3"}
        part = {"type": "input_audio", "input_audio": data}
        self.assertEqual(audio("data:audio/mp3;base64,AAAA"), part)

    def test_a_detail_is_passed_on(self):
        for detail in ("auto", "low", "high"):
            self.assertEqual(image(PNG, detail=detail)["image_url"]["detail"], detail)
        self.assertNotIn("detail", image(PNG)["image_url"])

    def test_a_file_name_is_passed_on_and_goes_before_the_files_own(self):
        content = OF_KIND[pdf][0]
        for source in (content, self.file("a.pdf", content)):
            part = pdf(source, filename="report.pdf")
            self.assertEqual(part["file"]["filename"], "report.pdf")

    def test_text_is_attached_as_a_part_that_names_the_file(self):
        for name, text in TEXTS:
            path = self.file(name, text.encode("utf-8"))
            with open(path, "rb") as file:
                for source in (path, pathlib.Path(path), file):
                    with self.subTest(name, source=type(source).__name__):
                        self.check_text_part(attach(source), name, text)

    def check_text_part(self, part, name, text):
        self.assertEqual(sorted(part), ["text", "type"])
        self.assertEqual(part["type"], "text")
        before, content, after = part["text"].partition(text)
        self.assertEqual(content, text)
        self.assertIn(name, before)
        self.assertTrue(before.endswith("\n"), part)
        self.assertTrue(after.startswith("\n"), part)
        self.assertTrue(after.strip(), part)

    def test_text_without_a_name_is_attached_as_text_too(self):
        for source in (
            b"some words",
            "data:text/plain;base64," + text64(b"some words"),
        ):
            part = attach(source)
            self.assertEqual(part["type"], "text")
            self.assertIn("some words", part["text"])

    def test_a_document_goes_as_a_file_part(self):
        written = expected_part(None, DOCX, DOCX_TYPE, "report.docx")
        self.assertEqual(attach(self.file("report.docx", DOCX)), written)

    def test_a_file_that_cannot_be_recognised_is_named_with_the_way_out(self):
        for name, content in (
            ("core.dump", b"\x7fELF\0\1"),
            ("latin.txt", b"caf\xe9"),
            ("zero.txt", b"a\0b"),
            ("a", b"\xff\xfe\xd8"),
        ):
            with self.subTest(name):
                path = self.file(name, content)
                self.refused(ValueError, [name, "media_type="], attach, path)
        path = self.file("odd.bin", b"\1\2\3")
        self.refused(ValueError, ["odd.bin", "media_type="], image, path)

    def test_what_else_cannot_be_recognised_says_the_way_out(self):
        self.refused(ValueError, ["media_type="], attach, b"\x7fELF\0\1")
        self.refused(ValueError, ["thing", "media_type="], attach, SITE + "thing")
        self.refused(ValueError, ["media_type="], attach, "data:;base64,AAAA")

    def test_a_data_url_must_hold_base64(self):
        for data in ("abc", "%%%a", "n o t", "a=bc"):
            url = "data:image/png;base64," + data
            self.refused(ValueError, ["base64", data], image, url)

    def test_mistakes_say_what_is_wrong(self):
        for error, words, helper, source, arguments in MISTAKES:
            shown = repr(source)[:60]
            with self.subTest(helper=helper.__name__, source=shown, named=arguments):
                self.refused(error, words, helper, source, **arguments)

    def test_a_file_of_the_wrong_kind_is_named(self):
        path = self.file("cat.png", PNG)
        self.refused(ValueError, ["cat.png", "image/png", "pdf"], pdf, path)

    def test_an_empty_file_is_named(self):
        path = self.file("empty.png", b"")
        for helper in (image, attach):
            self.refused(ValueError, ["empty.png", "is empty"], helper, path)

    def test_a_directory_is_no_source(self):
        self.refused(ValueError, ["directory"], image, self.folder)
        self.refused(ValueError, ["directory"], attach, pathlib.Path(self.folder))

    def test_a_file_that_is_not_there_is_an_os_error_that_names_it(self):
        path = os.path.join(self.folder, "none.png")
        self.refused(FileNotFoundError, ["none.png"], image, path)
        self.refused(FileNotFoundError, ["none.png"], attach, pathlib.Path(path))

    def test_a_file_opened_as_text_is_refused(self):
        for helper, name, content in (
            (attach, "words.txt", b"words"),
            (image, "cat.png", PNG),
        ):
            with open(self.file(name, content)) as file:
                self.refused(TypeError, ["binary"], helper, file)

    def test_a_temporary_file_has_no_name_that_would_be_sent(self):
        content, media_type = OF_KIND[pdf]
        with tempfile.TemporaryFile() as file:
            file.write(content)
            file.seek(0)
            part = pdf(file)
        self.assertEqual(part, expected_part(pdf, content, media_type, UNNAMED))

    @unittest.skipIf(sys.platform == "win32", "needs pipes that do not block")
    def test_a_file_that_has_nothing_yet_is_not_taken_for_a_short_one(self):
        for helper, (content, _) in OF_KIND.items():
            for function, given, buffering in itertools.product(
                (helper, attach), (b"", content), (-1, 0)
            ):
                ends = os.pipe()
                os.set_blocking(ends[0], False)
                with open(ends[0], "rb", buffering) as file, open(ends[1], "wb") as end:
                    end.write(given)
                    end.flush()
                    with self.subTest(
                        helper=function.__name__, given=given[:9], buffering=buffering
                    ):
                        words = ["nothing to read"]
                        self.refused(BlockingIOError, words, function, file)

    def test_encoding_holds_2_8_times_the_size_at_most_and_the_part_afterwards(self):
        start, _ = OF_KIND[image]
        self.check_memory("image, path", image, start)
        self.check_memory("attach, path", attach, start)
        for helper, (start, _) in OF_KIND.items():
            from_file = functools.partial(self.from_file, helper)
            self.check_memory(helper.__name__ + ", file", from_file, start)

    def check_memory(self, what, function, start):
        size = 4 << 20
        path = self.file("large.bin", start + bytes(size - len(start)))
        parts = []
        with self.subTest(what):
            peak, held = memory(lambda: parts.append(function(path)))
            self.assertGreater(len(json.dumps(parts)), size)
            self.assertLess(peak / size, 2.8)
            self.assertLess(held / size, 1.4)

    @staticmethod
    def from_file(helper, path):
        with open(path, "rb") as file:
            return helper(file)


# === requests =========================================================================


def function(**fields):
    return {"type": "function", "function": fields}


def schema_format(**fields):
    return {"type": "json_schema", "json_schema": fields}


def saying(content, **fields):
    return {"role": "user", "content": content, **fields}


SENT = (  # parameter, a value that is sent as it is
    ("temperature", 0),
    ("temperature", 0.7),
    ("temperature", 2),
    ("top_p", 0),
    ("top_p", 1.0),
    ("frequency_penalty", -2),
    ("frequency_penalty", 2.0),
    ("presence_penalty", -2.0),
    ("presence_penalty", 2),
    ("max_tokens", 1),
    ("max_tokens", 10**9),
    ("stop", "END"),
    ("stop", ["END", "\n"]),
    ("stop", ("END",)),
    ("tools", [TOOL]),
    ("tools", [function(name="f"), TOOL]),
    ("tools", []),
    ("tool_choice", "auto"),
    ("tool_choice", "none"),
    ("tool_choice", "required"),
    ("tool_choice", function(name="weather")),
    ("provider", {}),
    ("provider", {"sort": "price", "allow_fallbacks": False, "order": ["a"]}),
    ("provider", {"sort": "throughput"}),
    ("provider", {"sort": "latency", "allow_fallbacks": True}),
    ("response_format", {"type": "text"}),
    ("response_format", {"type": "json_object"}),
    ("response_format", {"type": "json_object", "schema": SCHEMA}),
    ("response_format", {"type": "json"}),
    (
        "response_format",
        {"type": "json", "schema": SCHEMA, "name": "answer", "description": "…"},
    ),
    ("response_format", schema_format(name="a", schema=SCHEMA)),
    (
        "response_format",
        schema_format(name="a-B_9", schema={}, strict=False, description="…"),
    ),
    ("seed", 7),
    ("seed", "anything"),
    ("max_completion_tokens", 50),
    ("reasoning_effort", "high"),
    ("stream_options", {"include_usage": True}),
    ("usage", {"include": True}),
    ("logit_bias", {50256: -100}),
    ("metadata", {"a": [None, True, 1.5, "\U0001f600", {"b": ()}]}),
    ("unheard_of", 0),
    ("unheard_of", ""),
    ("unheard_of", False),
)
REFUSED = (  # parameter, value, error, words of its message beside the parameter's name
    ("temperature", -0.1, ValueError, ["-0.1", "0 to 2"]),
    ("temperature", 2.01, ValueError, ["2.01", "0 to 2"]),
    ("temperature", math.nan, ValueError, ["nan", "0 to 2"]),
    ("temperature", math.inf, ValueError, ["inf", "0 to 2"]),
    ("temperature", 10**400, ValueError, ["0 to 2"]),
    ("temperature", "1", TypeError, ["'1'", "number", "0 to 2"]),
    ("temperature", True, TypeError, ["True", "number"]),
    ("top_p", 1.1, ValueError, ["1.1", "0 to 1"]),
    ("top_p", -1, ValueError, ["-1", "0 to 1"]),
    ("top_p", math.nan, ValueError, ["nan", "0 to 1"]),
    ("top_p", False, TypeError, ["False", "0 to 1"]),
    ("top_p", [1], TypeError, ["[1]", "0 to 1"]),
    ("frequency_penalty", 2.5, ValueError, ["2.5", "-2 to 2"]),
    ("frequency_penalty", -math.inf, ValueError, ["-inf", "-2 to 2"]),
    ("frequency_penalty", True, TypeError, ["True", "-2 to 2"]),
    ("presence_penalty", -2.5, ValueError, ["-2.5", "-2 to 2"]),
    ("presence_penalty", math.nan, ValueError, ["nan", "-2 to 2"]),
    ("presence_penalty", {}, TypeError, ["{}", "-2 to 2"]),
    ("max_tokens", 0, ValueError, ["integer", "1"]),
    ("max_tokens", -5, ValueError, ["integer", "1", "-5"]),
    ("max_tokens", 1.0, TypeError, ["integer", "1", "1.0"]),
    ("max_tokens", True, TypeError, ["integer", "1", "True"]),
    ("max_tokens", "100", TypeError, ["integer", "1", "'100'"]),
    ("max_tokens", math.nan, TypeError, ["integer", "1", "nan"]),
    ("stop", 5, TypeError, ["5", "string", "list"]),
    ("stop", ["END", 5], TypeError, ["stop[1]", "5", "string"]),
    ("stop", {"END"}, TypeError, ["END", "string"]),
    ("tools", TOOL, TypeError, ["list"]),
    ("tools", "weather", TypeError, ["'weather'", "list"]),
    ("tools", ["weather"], TypeError, ["tools[0]", "'weather'"]),
    ("tools", [TOOL, {"type": "function"}], EITHER, ["tools[1]", "function"]),
    ("tools", [{"function": {}}], EITHER, ["tools[0]", "name"]),
    ("tools", [function()], ValueError, ["tools[0]", "name"]),
    ("tools", [function(name="")], ValueError, ["tools[0]", "name"]),
    ("tools", [function(name=5)], TypeError, ["tools[0]", "name", "5"]),
    (
        "tools",
        [function(name="f", parameters=[])],
        TypeError,
        ["tools[0]", "parameters"],
    ),
    (
        "tools",
        [function(name="f", description=5)],
        TypeError,
        ["tools[0]", "description"],
    ),
    ("tools", [function(name="f", strict=1)], TypeError, ["tools[0]", "strict", "1"]),
    (
        "tool_choice",
        "weather",
        ValueError,
        ["'weather'", "'auto'", "'none'", "'required'"],
    ),
    ("tool_choice", True, TypeError, ["True", "string"]),
    ("tool_choice", {"type": "function"}, EITHER, ["function"]),
    ("tool_choice", function(), ValueError, ["name"]),
    (
        "provider",
        {"allow_fallbacks": "no"},
        TypeError,
        ["allow_fallbacks", "'no'", "True or False"],
    ),
    ("provider", {"allow_fallbacks": 1}, TypeError, ["allow_fallbacks", "1"]),
    ("provider", "price", TypeError, ["'price'", "dict"]),
    ("response_format", "json", TypeError, ["'json'", "dict"]),
    ("response_format", {}, EITHER, ["type"]),
    (
        "response_format",
        {"type": "json", "schema": "object"},
        TypeError,
        ["schema", "'object'"],
    ),
    ("response_format", {"type": "json", "name": 5}, TypeError, ["name", "5"]),
    (
        "response_format",
        {"type": "json", "description": 5},
        TypeError,
        ["description", "5"],
    ),
    ("response_format", {"type": "json_schema"}, EITHER, ["json_schema"]),
    ("response_format", schema_format(schema={}), ValueError, ["json_schema", "name"]),
    ("response_format", schema_format(name="a"), ValueError, ["json_schema", "schema"]),
    (
        "response_format",
        schema_format(name="a", schema=[]),
        TypeError,
        ["schema", "[]"],
    ),
    (
        "response_format",
        schema_format(name="a b", schema={}),
        ValueError,
        ["name", "'a b'"],
    ),
    (
        "response_format",
        schema_format(name="a", schema={}, strict="yes"),
        TypeError,
        ["strict", "'yes'"],
    ),
    ("stream", "yes", TypeError, ["'yes'", "True or False"]),
    ("stream", 1, TypeError, ["1", "True or False"]),
    # What JSON in UTF-8 cannot carry (RFC 8259).
    ("unheard_of", {1, 2}, TypeError, ["JSON"]),
    ("unheard_of", b"bytes", TypeError, ["b'bytes'"]),
    ("unheard_of", [{"deep": object()}], TypeError, ["unheard_of[0].deep"]),
    (
        "unheard_of",
        {"a": [1.0, math.nan]},
        ValueError,
        ["unheard_of.a[1]", "nan", "finite"],
    ),
    ("unheard_of", -math.inf, ValueError, ["-inf", "finite"]),
    ("unheard_of", 1j, TypeError, ["1j"]),
    ("unheard_of", {("a", 1): 2}, TypeError, ["('a', 1)", "string"]),
    ("unheard_of", "half \ud83d", ValueError, ["surrogate"]),
    ("unheard_of", ["x" * 200000 + "\ud83d"], ValueError, ["surrogate"]),
    ("unheard_of", {"\ud83d": 1}, ValueError, ["surrogate"]),
)
REFUSED_MESSAGES = (  # messages, error, words of its message beside "messages"
    ([], ValueError, ["empty"]),
    ((), ValueError, ["empty"]),
    (None, TypeError, ["None", "string"]),
    (5, TypeError, ["5", "string"]),
    (b"Hi", TypeError, ["b'Hi'", "string"]),
    (saying("Hi"), TypeError, ["list"]),
    (["Hi"], TypeError, ["messages[0]", "'Hi'"]),
    ([user("Hi"), None], TypeError, ["messages[1]", "None"]),
    ([{"content": "Hi"}], EITHER, ["messages[0]", "role"]),
    (
        [{"role": ["user"], "content": "Hi"}],
        EITHER,
        ["messages[0]", "role", "['user']"],
    ),
    ([{"role": "user"}], ValueError, ["messages[0]", "content"]),
    ([saying(None)], ValueError, ["messages[0]", "content"]),
    ([saying(5)], TypeError, ["messages[0].content", "5"]),
    ([saying(b"Hi")], TypeError, ["messages[0].content", "b'Hi'"]),
    ([saying({"type": "text", "text": "Hi"})], TypeError, ["messages[0].content"]),
    ([saying(["Hi"])], TypeError, ["messages[0].content[0]", "'Hi'"]),
    (
        [saying([{"type": "text", "text": "Hi"}, {}])],
        EITHER,
        ["messages[0].content[1]", "type"],
    ),
    ([saying("Hi", extra={1})], TypeError, ["messages[0].extra"]),
    ([saying("half \udc00")], ValueError, ["messages[0].content", "surrogate"]),
)


EVERY_FORM = (  # of a message
    system("a"),
    {"role": "developer", "content": "b"},
    user("c", "d"),
    assistant("e"),
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "assistant", "tool_calls": [CALL]},
    tool_result("c", "f"),
    {"role": "user", "content": [], "name": "x"},
    {"role": "user", "content": ({"type": "odd", "odd": 1},)},
)


class Requests(Test):
    def test_a_text_is_one_message_of_the_user(self):
        hi = {"role": "user", "content": "Hi"}
        body = {"model": "m", "messages": [hi], "stream": False}
        self.assertEqual(build_request("Hi", "m"), body)

    def test_a_stream_is_asked_for_in_the_body(self):
        self.assertIs(build_request("Hi", "m", stream=True)["stream"], True)

    def test_messages_may_be_any_list_or_tuple_of_any_dicts(self):
        for messages in ([user("Hi")], (user("Hi"),), [JSONObject(user("Hi"))]):
            body = build_request(messages, "m")
            self.assertEqual(body, build_request("Hi", "m"))
            self.assertIs(type(body), dict)

    def test_a_parameter_is_sent_as_it_is(self):
        for name, value in SENT:
            with self.subTest(name, value=value):
                body = build_request("Hi", "m", **{name: value})
                self.assertEqual(body, dict(build_request("Hi", "m"), **{name: value}))
                self.assertIs(type(body[name]), type(value))
                json.dumps(body, allow_nan=False)

    def test_a_name_that_json_cannot_hold_is_refused(self):
        for name, words in (("\ud800", ["surrogate"]), (math.inf, ["finite"])):
            for given in ({"extra_body": {name: 1, "z": 2}}, {name: 1}):
                if isinstance(next(iter(given)), str):
                    with self.subTest(given):
                        call = functools.partial(build_request, "Hi", "m", **given)
                        self.refused(ValueError, [*words, "a name in"], call)

    def test_a_parameter_out_of_its_range_is_named_with_what_is_allowed(self):
        for name, value, error, words in REFUSED:
            with self.subTest(name, value=value):
                parameter = {name: value}
                said = [name, *words]
                self.refused(error, said, build_request, "Hi", "m", **parameter)

    def test_a_value_that_contains_itself_is_refused(self):
        circle = []
        circle.append({"again": circle})
        self.refused(ValueError, [], build_request, "Hi", "m", odd=circle)

    def test_a_value_nested_too_deep_for_json_is_refused(self):
        deep = nested(100000, [])
        self.refused(ValueError, ["deep"], build_request, "Hi", "m", odd=deep)
        # Without this its end would exhaust the stack of older interpreters.
        while deep:
            deep = deep.pop()

    def test_none_means_not_sent(self):
        for name in sorted({name for name, _ in SENT}):
            with self.subTest(name):
                self.assertNotIn(name, build_request("Hi", "m", **{name: None}))

    def test_messages_are_checked_and_the_wrong_one_is_named(self):
        for messages, error, words in REFUSED_MESSAGES:
            with self.subTest(messages):
                self.refused(error, ["messages", *words], build_request, messages, "m")

    def test_every_role_and_form_of_content_is_taken(self):
        for message in EVERY_FORM:
            with self.subTest(message):
                body = build_request([user("Hi"), message], "m")
                self.assertEqual(body["messages"], [user("Hi"), message])

    def test_an_answers_message_goes_back_into_the_conversation(self):
        answer = completion(None, "tool_calls", tool_calls=[CALL])
        reply = Completion(objects(answer))
        history = [user("Hi"), reply.message, tool_result(reply.tool_calls[0].id, "42")]
        sent = build_request(history, "m")["messages"]
        self.assertEqual(sent[1], answer["choices"][0]["message"])

    def test_the_model_is_required(self):
        for model, error, word in (
            (None, ValueError, "model"),
            ("", ValueError, "''"),
            (5, TypeError, "5"),
            (b"m", TypeError, "b'm'"),
        ):
            self.refused(error, ["model", word], build_request, "Hi", model)

    def test_extra_body_is_merged_in_last_and_may_hold_none(self):
        extra = {"seed": None, "top_k": 5, "temperature": 9}
        body = build_request("Hi", "m", temperature=1, seed=1, extra_body=extra)
        self.assertEqual(body, dict(build_request("Hi", "m"), **extra))

    def test_extra_body_is_a_dict_of_what_json_can_hold(self):
        for extra, words in (
            ([1], ["extra_body", "dict"]),
            ({"top_k": {1}}, ["top_k"]),
        ):
            self.refused(TypeError, words, build_request, "Hi", "m", extra_body=extra)

    def test_the_callers_objects_are_never_changed(self):
        arguments = {
            "stop": ["a"],
            "tools": [TOOL],
            "tool_choice": function(name="weather"),
            "provider": {"sort": "price"},
            "response_format": json_schema(SCHEMA),
            "odd": {"a": [1, {"b": None}]},
            "extra_body": {"seed": 1, "odd": None},
        }
        messages = [system("a"), user("b", "c"), JSONObject(assistant("d"))]
        before = copy.deepcopy((messages, arguments))
        body = build_request(messages, "m", stream=True, **arguments)
        self.assertEqual((messages, arguments), before)
        body["messages"].append(user("e"))
        body["more"] = 1
        self.assertEqual((messages, arguments), before)

    def test_json_schema_is_a_strict_response_format(self):
        self.assertEqual(
            json_schema(SCHEMA),
            schema_format(name="response", schema=SCHEMA, strict=True),
        )
        build_request("Hi", "m", response_format=json_schema(SCHEMA))

    def test_json_schema_takes_a_name_and_a_description(self):
        fields = {"name": "answer", "strict": False, "description": "What?"}
        self.assertEqual(
            json_schema(SCHEMA, **fields), schema_format(schema=SCHEMA, **fields)
        )

    def test_a_schemas_name_is_1_to_64_letters_digits_and_two_signs(self):
        for name in ("a", "A-b_9", "x" * 64):
            self.assertEqual(json_schema(SCHEMA, name)["json_schema"]["name"], name)
        for name in ("x" * 65, "a b", "a.b", "\u00e9", "a\n", "a/b", "\u0663"):
            with self.subTest(name):
                words = ["name", repr(name), "64"]
                self.refused(ValueError, words, json_schema, SCHEMA, name)
        self.refused(ValueError, ["name"], json_schema, SCHEMA, "")
        self.refused(TypeError, ["name", "5"], json_schema, SCHEMA, 5)

    def test_json_schemas_arguments_are_checked(self):
        self.refused(TypeError, ["schema"], json_schema, "object")
        self.refused(TypeError, ["strict"], json_schema, SCHEMA, strict="yes")
        self.refused(TypeError, ["description"], json_schema, SCHEMA, description=5)


class Uploads(Test):
    def test_a_large_body_is_sent_piece_by_piece_and_again_by_a_retry(self):
        size = 8 << 20
        messages = [user("What is it?", image(PNG + b"x" * size), '\u00e9"\n\\' * 99)]
        body = build_request(messages, "m")
        expected = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
        # The server keeps nothing: its memory is ours, which is looked at.
        server = self.serve(http_answer(503), ANSWER, keep=0)
        client = self.client(server)
        peak, _ = memory(lambda: client.complete(messages))
        self.assertLess(peak, size // 8)
        self.assertEqual(len(server.requests), 2)
        for received in server.requests:
            self.assertEqual(received.headers["content-length"], str(len(expected)))
            self.assertEqual(received.checksum, zlib.crc32(expected))

    def test_long_texts_arrive_as_they_are(self):
        server = self.serve(ANSWER)
        text = 'a\u0000"\\\n\u2028\u00e9\U0001f600' * 30000
        self.client(server).complete([system(text), user(text, "short")])
        received = server.requests[0]
        self.assertEqual(received.json["messages"][0]["content"], text)
        self.assertEqual(received.json["messages"][1]["content"][0]["text"], text)
        self.assertEqual(len(received.body), int(received.headers["content-length"]))


# === events ===========================================================================


def ev(data, event="message", id="", retry=None):
    """An event's fields."""
    return (event, data, id, retry)


BOM = b"\xef\xbb\xbf"
STREAMS = [  # what it shows, bytes, the events in them
    ("nothing", b"", []),
    ("one event", b"data: a\n\n", [ev("a")]),
    ("ends by CR", b"data: a\r\rdata: b\r\r", [ev("a"), ev("b")]),
    ("ends by CR LF", b"data: a\r\n\r\ndata: b\r\n\r\n", [ev("a"), ev("b")]),
    (
        "mixed ends",
        b"data: a\r\ndata: b\rdata: c\n\rdata: d\n\r\n",
        [ev("a\nb\nc"), ev("d")],
    ),
    ("CR CR LF is two ends", b"data: a\r\r\ndata: b\r\n\n", [ev("a"), ev("b")]),
    ("LF CR is two ends", b"data: a\n\rdata: b\n\n", [ev("a"), ev("b")]),
    ("a leading BOM", BOM + b"data: a\n\n", [ev("a")]),
    ("only one BOM goes", BOM + BOM + b"data: a\n\ndata: b\n\n", [ev("b")]),
    ("a BOM later on stays", b"data: a\n\n" + BOM + b"data: b\n\n", [ev("a")]),
    ("half a BOM is an odd field", b"\xef\xbbdata: a\n\ndata: b\n\n", [ev("b")]),
    ("a BOM alone", BOM, []),
    ("a BOM before an end", BOM + b"\r\n\ndata: a\n\n", [ev("a")]),
    ("comments", b": hello\n:\ndata: a\n:data: b\n\n: bye\n\n", [ev("a")]),
    ("no colon", b"data\n\n", [ev("")]),
    ("no colon, twice", b"data\ndata\n\n", [ev("\n")]),
    ("a colon and nothing", b"data:\n\n", [ev("")]),
    (
        "one space goes",
        b"data:a\ndata: a\ndata:  a\ndata: a \ndata:\ta\n\n",
        [ev("a\na\n a\na \n\ta")],
    ),
    ("the first colon counts", b"data: a: b:c\n\n", [ev("a: b:c")]),
    ("several data lines", b"data: a\ndata:\ndata: b\n\n", [ev("a\n\nb")]),
    ("event", b"event: x\ndata: a\n\ndata: b\n\n", [ev("a", "x"), ev("b")]),
    ("the last event field counts", b"event: x\nevent: y\ndata: a\n\n", [ev("a", "y")]),
    ("an empty event is a message", b"event: x\nevent\ndata: a\n\n", [ev("a")]),
    (
        "an event without data is none",
        b"event: x\nid: 1\n\ndata: a\n\n",
        [ev("a", id="1")],
    ),
    ("only ends", b"\n\r\n\r\n\n", []),
    (
        "id is remembered",
        b"id: 1\ndata: a\n\ndata: b\n\nid: 2\ndata: c\n\n",
        [ev("a", id="1"), ev("b", id="1"), ev("c", id="2")],
    ),
    (
        "an empty id resets it",
        b"id: 1\ndata: a\n\nid\ndata: b\n\n",
        [ev("a", id="1"), ev("b")],
    ),
    (
        "an id with NUL is ignored",
        b"id: 1\ndata: a\n\nid: 2\0\ndata: b\n\n",
        [ev("a", id="1"), ev("b", id="1")],
    ),
    ("NUL elsewhere stays", b"data: a\0b\n\n", [ev("a\0b")]),
    ("retry", b"retry: 1500\ndata: a\n\ndata: b\n\n", [ev("a", retry=1500), ev("b")]),
    ("retry of zero", b"retry: 0\ndata: a\n\n", [ev("a", retry=0)]),
    ("retry with leading zeros", b"retry:007\ndata: a\n\n", [ev("a", retry=7)]),
    ("retry without data", b"retry: 10\n\ndata: a\n\n", [ev("a")]),
    (
        "retry that is no digits",
        b"retry: -1\nretry: 1.5\nretry: 0x1\nretry: 1 \n"
        b"retry:  1\nretry\nretry: +1\nretry: 1_0\ndata: a\n\n",
        [ev("a")],
    ),
    (
        "retry in other digits",
        "retry: \u0661\u0662\nretry: \u00b2\ndata: a\n\n".encode(),
        [ev("a")],
    ),
    (
        "a wrong retry keeps the right one",
        b"retry: 5\nretry: x\ndata: a\n\n",
        [ev("a", retry=5)],
    ),
    (
        "unknown fields",
        b"foo: 1\nDATA: 2\n data: 3\ndata : 4\nfoo\ndata: a\n\n",
        [ev("a")],
    ),
    ("an unterminated event", b"data: a\n\ndata: b\n", [ev("a")]),
    ("an unterminated line", b"data: a\n\ndata: b", [ev("a")]),
    ("an unterminated end", b"data: a\r", []),
    (
        "no line ends",
        "data: a\u2028b\u2029c\x85d\x0be\x0cf\x1cg\x1dh\x1ei\n\n".encode(),
        [ev("a\u2028b\u2029c\x85d\x0be\x0cf\x1cg\x1dh\x1ei")],
    ),
    (
        "four bytes a character",
        "data: \U0001f600\u00e9\u20ac\n\n".encode(),
        [ev("\U0001f600\u00e9\u20ac")],
    ),
    ("a byte that is none", b"data: a\xffb\xfe\n\n", [ev("a\ufffdb\ufffd")]),
    (
        "a sequence cut by an end",
        b"data: \xe2\x82\ndata: \xf0\x9f\x98\r\n\n",
        [ev("\ufffd\n\ufffd")],
    ),
    (
        "overlong and surrogates",
        b"data: \xc0\xaf|\xed\xa0\x80|\xf4\x90\x80\x80\n\n",
        [ev("\ufffd" * 2 + "|" + "\ufffd" * 3 + "|" + "\ufffd" * 4)],
    ),
    ("a wrong byte in a field's name", b"da\xffta: a\ndata: b\n\n", [ev("b")]),
    (
        "the specification's first example",
        b"data: YHOO\ndata: +2\ndata: 10\n\n",
        [ev("YHOO\n+2\n10")],
    ),
    (
        "the specification's second example",
        b": test stream\n\ndata: first event\nid: 1\n\n"
        b"data:second event\nid\n\ndata:  third event\n\n",
        [ev("first event", id="1"), ev("second event"), ev(" third event")],
    ),
    (
        "the specification's third example",
        b"data\n\ndata\ndata\n\ndata:",
        [ev(""), ev("\n")],
    ),
    (
        "the specification's fourth example",
        b"data:test\n\ndata: test\n\n",
        [ev("test"), ev("test")],
    ),
    (
        "the service's own",
        b': ONEROUTER PROCESSING\n\ndata: {"choices": []}\n\ndata: [DONE]\n\n',
        [ev('{"choices": []}'), ev("[DONE]")],
    ),
]


def parsed(*pieces):
    """The events that a parser gives when it is fed with these, as `ev` makes them."""
    parser = SSEParser()
    events = []
    for piece in pieces:
        for event in parser.feed(piece):
            events.append((event.event, event.data, event.id, event.retry))
    return events


def literal_events(data):
    """WHATWG HTML § 9.2.6 word by word, an oracle for the fuzzing: slow, and only for a
    stream that is whole."""
    stream = data.decode("utf-8", "replace")
    if (
        stream and stream[0] == "\ufeff"
    ):  # "The UTF-8 decode algorithm strips one leading UTF-8 BOM, if any."
        stream = stream[1:]
    lines, line, place = [], "", 0
    while place < len(stream):
        if stream[place] == "\r" and stream[place + 1 : place + 2] == "\n":
            place += 1
        if stream[place] in "\r\n":
            lines.append(line)
            line = ""
        else:
            line += stream[place]
        place += 1
    # What is left in line has no end: "any pending data must be discarded".
    events, data_buffer, type_buffer, id_buffer, retry = [], "", "", "", None
    for line in lines:
        if line == "":  # "Dispatch the event"
            if data_buffer != "":
                if data_buffer[-1] == "\n":
                    data_buffer = data_buffer[:-1]
                events.append(
                    (
                        type_buffer if type_buffer != "" else "message",
                        data_buffer,
                        id_buffer,
                        retry,
                    )
                )
            data_buffer, type_buffer, retry = "", "", None
            continue
        if line[0] == ":":
            continue
        if ":" in line:
            colon = line.index(":")
            field, value = line[:colon], line[colon + 1 :]
            if value != "" and value[0] == " ":
                value = value[1:]
        else:
            field, value = line, ""
        if field == "event":
            type_buffer = value
        elif field == "data":
            data_buffer = data_buffer + value + "\n"
        elif field == "id":
            if "\0" not in value:
                id_buffer = value
        elif field == "retry":
            if value != "" and all(character in "0123456789" for character in value):
                retry = int(value, 10)
    return events


class ServerSentEvents(Test):
    def test_the_specification_holds_wherever_the_bytes_are_cut(self):
        for what, data, events in STREAMS:
            with self.subTest(what):
                self.assertEqual(parsed(data), events)
                for cut in range(len(data) + 1):
                    pieces = (data[:cut], b"", data[cut:])
                    self.assertEqual(parsed(*pieces), events, "cut at %d" % cut)
                single = [data[place : place + 1] for place in range(len(data))]
                self.assertEqual(parsed(*single), events, "byte by byte")

    def test_the_oracle_of_the_fuzzing_keeps_to_the_specification_too(self):
        for what, data, events in STREAMS:
            with self.subTest(what):
                self.assertEqual(literal_events(data), events)

    def test_an_event_is_given_as_soon_as_its_last_byte_is_there(self):
        parser = SSEParser()
        self.assertEqual(parser.feed(b"data: a\r\n"), [])
        (event,) = parser.feed(b"\r")  # a line feed after it would add nothing
        self.assertEqual((event.event, event.data, event.id, event.retry), ev("a"))
        self.assertEqual(parser.feed(b"\n"), [])

    def test_parsers_do_not_share_anything(self):
        one, other = SSEParser(), SSEParser()
        one.feed(b"id: 1\nevent: x\ndata: a\n")
        (event,) = other.feed(b"\n\ndata: b\n\n")
        self.assertEqual((event.event, event.data, event.id), ("message", "b", ""))
        (event,) = one.feed(b"\n")
        self.assertEqual((event.event, event.data, event.id), ("x", "a", "1"))

    def test_a_text_is_refused_since_bytes_may_cut_a_character(self):
        self.refused(TypeError, ["bytes", "str"], SSEParser().feed, "data: a\n\n")

    # Eight times the bytes; work that grows with their square would take 64 times as
    # long.

    def test_the_cost_of_a_line_is_linear_in_its_bytes_whatever_the_cuts(self):
        def one_line(size):
            parser, piece = SSEParser(), b"x" * 64
            parser.feed(b"data: ")
            for _ in range(size // 64):
                parser.feed(piece)
            (event,) = parser.feed(b"\n\n")
            self.assertEqual(len(event.data), size)

        self.assertLess(growth(one_line, 1 << 18, 1 << 21), 20)

    def test_the_cost_of_an_event_is_linear_in_its_lines(self):
        def many_lines(size):
            parser, piece = SSEParser(), b"data: " + b"x" * 57 + b"\n"
            for _ in range(size // 64):
                parser.feed(piece)
            (event,) = parser.feed(b"\n")
            self.assertEqual(len(event.data), size // 64 * 58 - 1)

        self.assertLess(growth(many_lines, 1 << 18, 1 << 21), 20)


# === assembling =======================================================================


def a_call(id, name, arguments):
    """A tool call as a whole answer has it."""
    function = {"name": name, "arguments": arguments}
    return {"id": id, "type": "function", "function": function}


def a_token(text):
    """A token's log probability."""
    top = [{"token": text, "logprob": -0.5}]
    return {"token": text, "logprob": -0.5, "bytes": [97], "top_logprobs": top}


BOTH_CALLS = [
    tool_call(0, "c1", "f", '{"a"', type="function"),
    tool_call(1, "c2", "g", "{", type="function"),
]
TOOL_CALLS = (  # what it shows, the tool_calls of successive deltas; the same two calls
    (
        "once",
        [BOTH_CALLS, [tool_call(0, arguments=": 1}"), tool_call(1, arguments="}")]],
    ),
    (
        "fields repeated",
        [
            BOTH_CALLS,
            [tool_call(0, "c1", "f", ": 1}", type="function")],
            [tool_call(1, "c2", "g", "}", type="function")],
        ],
    ),
    (
        "fields empty or null later",
        [
            BOTH_CALLS,
            [tool_call(0, "", "", ": 1}", type="")],
            [dict(tool_call(1, arguments="}"), id=None, type=None)],
        ],
    ),
    (
        "interleaved",
        [
            BOTH_CALLS[1:],
            BOTH_CALLS[:1],
            [tool_call(1, arguments="}")],
            [tool_call(0, arguments=": ")],
            [tool_call(0, arguments="1}")],
        ],
    ),
)
FIELDS_OF_A_CHOICE = ("logprobs", "index", "finish_reason")
FIELDS_OF_A_DELTA = ("tool_calls", "role", "reasoning", "function_call")
WRONG_TYPES = (  # for any of these
    None,
    True,
    5,
    1.5,
    "x",
    [],
    [None],
    [5],
    ["x"],
    [[]],
    [{}],
    [{"index": 0}],
    [{"index": "0"}],
    [{"index": None}],
    [{"index": 0, "function": 5}],
    [{"index": 0, "id": 5}],
    {},
    {"a": 1},
)


class Assembling(Test):
    def message(self, *deltas):
        """The message that these deltas make; its role is looked at here."""
        made = assembled(*[chunk(**delta) for delta in deltas]).message
        self.assertEqual(made.pop("role"), "assistant")
        return made

    def tool_calls(self, *deltas):
        """What these pieces of ``tool_calls`` make."""
        return self.message(*[{"tool_calls": delta} for delta in deltas])["tool_calls"]

    def test_a_stream_gives_what_the_whole_answer_would_have_been(self):
        whole = completion(
            "Hello there",
            "tool_calls",
            reasoning="Let me see",
            refusal="no",
            tool_calls=[
                a_call("c1", "weather", '{"city": "Rome"}'),
                a_call("c2", "clock", "{}"),
            ],
        )
        whole["usage"].update(cost=0.1, prompt_tokens_details={"cached_tokens": 1})
        said_first = {"provider": "p", "system_fingerprint": "fp", "odd": [{"a": 1}]}
        said_last = {"cost": 0.1, "cost_details": {"upstream": None}}
        whole.update(said_first, **said_last)
        rome, closed = tool_call(0, arguments='"Rome"}'), tool_call(1, arguments="{}")
        made = assembled(
            dict(chunk("", role="assistant"), **said_first),
            chunk(reasoning="Let me"),
            chunk(reasoning=" see"),
            chunk("Hello"),
            chunk(" there", refusal="n"),
            chunk(refusal="o"),
            chunk(tool_calls=[tool_call(0, "c1", "weather", "", type="function")]),
            chunk(tool_calls=[tool_call(0, arguments='{"city": ')]),
            chunk(tool_calls=[tool_call(1, "c2", "clock", type="function")]),
            chunk(tool_calls=[closed, rome]),
            chunk(None, "tool_calls"),
            dict(chunk(), choices=[], usage=whole["usage"], **said_last),
        )
        self.assertEqual(made, whole)
        self.assertIs(type(made), Completion)
        self.assertEqual(made.choices[0].message.tool_calls[0].function.name, "weather")

    def test_texts_are_joined(self):
        for name in ("content", "reasoning", "reasoning_content", "refusal"):
            with self.subTest(name):
                pieces = ("a", "", None, "b ", "c")
                made = self.message({}, *[{name: piece} for piece in pieces], {})
                self.assertEqual(made[name], "ab c")
                if name != "content":
                    self.assertIsNone(made["content"])

    def test_a_message_is_ready_for_the_history_whatever_the_deltas_left_out(self):
        for deltas in (
            [],
            [{}],
            [{"role": None, "content": None}],
            [{"role": "assistant"}, {"role": None}],
            [{"role": ""}],
            [{"role": "assistant", "content": "x"}, {"role": "assistant"}],
        ):
            with self.subTest(deltas):
                chunks = [chunk(**delta) for delta in deltas]
                made = assembled(*chunks, chunk(None, "stop"))
                self.assertEqual(made.message["role"], "assistant")
                self.assertIn("content", made.message)
                build_request([user("Hi"), made.message], "m")

    def test_tool_calls_are_merged_by_index_and_repeated_fields_are_not_doubled(self):
        calls = [a_call("c1", "f", '{"a": 1}'), a_call("c2", "g", "{}")]
        for what, deltas in TOOL_CALLS:
            with self.subTest(what):
                made = self.tool_calls(*deltas)
                self.assertEqual(sorted(made, key=lambda one: one["id"]), calls)

    def test_tool_calls_with_and_without_an_index_stay_apart(self):
        calls = [a_call("a", "a", "{}"), a_call("b", "b", "{}")]
        made = self.tool_calls([dict(calls[0], index=1)], [calls[1]])
        self.assertEqual(made, calls)

    def test_tool_calls_without_an_index_are_kept_one_by_one(self):
        calls = [a_call("a", "a", "{}"), a_call("b", "b", "{}")]
        self.assertEqual(self.tool_calls([calls[0]], [calls[1]]), calls)

    def test_the_pieces_of_several_choices_are_joined_by_their_index(self):
        made = assembled(
            chunk("b1", index=1),
            chunk("a1"),
            chunk("c", index=2),
            chunk("a2", "stop"),
            chunk("b2", index=1),
            chunk(None, "length", index=1),
            chunk(None, "stop", index=2),
        )
        self.assertEqual([one.index for one in made.choices], [0, 1, 2])
        self.assertEqual(self.texts(made), ["a1a2", "b1b2", "c"])
        reasons = [one.finish_reason for one in made.choices]
        self.assertEqual(reasons, ["stop", "length", "stop"])

    def test_two_choices_in_one_chunk_come_apart(self):
        both = chunk("x")
        both["choices"] += chunk("y", index=1)["choices"]
        self.assertEqual(self.texts(assembled(both, both)), ["xx", "yy"])

    def test_choices_without_an_index_are_one(self):
        pieces = [chunk("a", index=None), chunk("b", index=None)]
        self.assertEqual(self.texts(assembled(*pieces)), ["ab"])

    @staticmethod
    def texts(answer):
        return [choice.message.content for choice in answer.choices]

    def test_probabilities_are_gathered(self):
        chunks = [chunk("ab"), chunk(""), chunk("c")]
        for data, content in zip(chunks, ("ab", None, "c")):
            logprobs = None
            if content:
                logprobs = {"content": [*map(a_token, content)], "refusal": None}
            data["choices"][0]["logprobs"] = logprobs
        self.assertEqual(
            assembled(*chunks).choices[0].logprobs,
            {"content": [*map(a_token, "abc")], "refusal": None},
        )

    def test_probabilities_that_are_null_stay_so(self):
        data = chunk("a")
        data["choices"][0]["logprobs"] = None
        self.assertIsNone(assembled(data).choices[0]["logprobs"])

    def test_usage_cost_and_unknown_fields_are_kept_as_they_were_last_sent(self):
        made = assembled(
            dict(chunk("a"), usage=None, odd=1),
            dict(chunk("b"), usage={"total_tokens": 1}, odd=None),
            dict(chunk("c"), usage={"total_tokens": 9, "cost": 0.5}, cost=2),
            chunk(None, "stop"),
        )
        self.assertEqual(made.usage, {"total_tokens": 9, "cost": 0.5})
        self.assertEqual(made.cost, 2)
        self.assertEqual(made.odd, 1)

    def test_the_answer_is_no_chunk(self):
        self.assertEqual(assembled(chunk("a")).object, "chat.completion")

    def test_unknown_fields_of_a_delta_are_kept_as_they_were_said_last(self):
        made = assembled(
            chunk("a", odd={"deep": "x", "list": [1]}),
            chunk("b", odd={"deep": "y", "list": [2], "more": 3}),
        )
        self.assertEqual(made.message.odd, {"deep": "y", "list": [1, 2], "more": 3})

    def test_unknown_fields_of_a_choice_are_kept(self):
        data = chunk("a")
        data["choices"][0]["native_finish_reason"] = "end"
        made = assembled(data, chunk("b"))
        self.assertEqual(made.choices[0].native_finish_reason, "end")

    def test_a_stream_without_a_choice_is_no_answer(self):
        for chunks in ([], [{}], [{"choices": []}], [{"choices": None}]):
            error = self.refused(StreamError, ["no choice"], assembled, *chunks)
            self.assertEqual(error.partial.choices, [])
            self.assertEqual(error.partial.text, "")
            self.assertIsNone(error.partial.message)

    def test_halves_of_a_surrogate_pair_in_two_chunks_become_one_character(self):
        made = assembled(chunk("a\ud83d"), chunk("\ude00b"), chunk("\u00e9"))
        self.assertEqual(made.text, "a\U0001f600b\u00e9")

    def test_half_a_surrogate_pair_becomes_a_replacement_character(self):
        self.assertEqual(assembled(chunk("a\ud83d")).text, "a\ufffd")

    def test_a_byte_order_mark_in_a_text_stays(self):
        made = assembled(chunk("\ufeffa"), chunk("\u00e9\ufeff"))
        self.assertEqual(made.text, "\ufeffa\u00e9\ufeff")

    def test_an_answer_may_be_deep(self):
        data = chunk("a", deep=nested(90, "x"))
        made = assembled(data, data)
        self.assertEqual(made.text, "aa")
        self.assertEqual(pickle.loads(pickle.dumps(made)), made)

    def test_an_answer_that_pickle_could_not_carry_is_refused(self):
        data = chunk("b", deep=nested(300, "x"))
        error = self.refused(StreamError, ["nested"], assembled, chunk("a"), data)
        self.assertEqual(error.partial.text, "a")

    def test_fields_of_a_wrong_type_raise_nothing_and_lose_no_text(self):
        names = FIELDS_OF_A_CHOICE + FIELDS_OF_A_DELTA
        for name, value in itertools.product(names, WRONG_TYPES):
            with self.subTest(name, value=value):
                odd = chunk("b")
                choice = odd["choices"][0]
                holder = choice if name in FIELDS_OF_A_CHOICE else choice["delta"]
                holder[name] = value
                made = assembled(chunk("a"), odd, chunk("c"), odd)
                self.assertEqual(json.loads(json.dumps(made)), made)
                letters = sorted("".join(self.texts(made)))
                self.assertEqual(letters, ["a", "b", "b", "c"])

    def test_the_cost_is_linear_in_the_chunks(self):
        piece = chunk("word ", tool_calls=[tool_call(0, arguments="xyz ")])
        servers = {}
        for size in (1000, 4000):
            servers[size] = self.serve(sse(*[piece] * size, "[DONE]"))

        def assemble(size):
            stream = self.client(servers[size]).stream("hi")
            self.assertEqual(len(stream.get_final_completion().text), 5 * size)

        # Four times the chunks; work that grows with their square would take sixteen
        # times as long.
        self.assertLess(growth(assemble, 1000, 4000), 10)


# === real servers =====================================================================
#
# What servers of this API have been seen to send and clients to ask for: the rows of
# "what real servers send", more than one example each.  The rows on time limits and
# kept connections are tested with the client.


def calling(*pieces):
    """A chunk with these pieces of tool calls."""
    return chunk(tool_calls=list(pieces))


def without_index(**fields):
    """A piece of a tool call without an index; see `tool_call`."""
    return tool_call(None, **fields)


def with_arguments(index, id, arguments):
    """A piece of a tool call whose arguments may be ``None``."""
    return dict(tool_call(index, id), function={"name": "now", "arguments": arguments})


def with_choice(**fields):
    """A chunk whose choice has these fields."""
    return dict(chunk(), choices=[dict({"index": 0, "delta": {}}, **fields)])


def labelled(body, content_type, status=200):
    """An HTTP answer whose body and content type need not fit."""
    return http_answer(status, body, Content_Type=content_type)


def stream_body(*events):
    """The text of an event stream, [DONE] included."""
    return b"".join(map(event, events)).decode() + "data: [DONE]\n\n"


def bare(completion_or_chunk, **changes):
    """A copy without the fields that are ``None`` in *changes*, the others changed."""
    changed = dict(completion_or_chunk, **changes)
    return {name: value for name, value in changed.items() if value is not None}


ROME, OSLO = '{"city": "Rome"}', '{"city": "Oslo"}'
TWO_CALLS = [("a", "weather", ROME), ("b", "clock", "{}")]
TWICE_THE_SAME = [("a", "weather", ROME), ("b", "weather", OSLO)]
ONE_CALL = [("a", "weather", ROME)]
HALF_ROME, REST_OF_ROME = ROME[:7], ROME[7:]
REAL_CALLS = (  # what, the chunks, the calls: id, name, arguments
    (
        "parallel, all index 0, two chunks",
        [
            calling(tool_call(0, "a", "weather", ROME)),
            calling(tool_call(0, "b", "clock", "{}")),
        ],
        TWO_CALLS,
    ),
    (
        "parallel, all index 0, one chunk",
        [calling(tool_call(0, "a", "weather", ROME), tool_call(0, "b", "clock", "{}"))],
        TWO_CALLS,
    ),
    (
        "parallel, all index 0, the same name, arguments in pieces",
        [
            calling(tool_call(0, "a", "weather", HALF_ROME)),
            calling(tool_call(0, arguments=REST_OF_ROME)),
            calling(tool_call(0, "b", "weather", OSLO[:3])),
            calling(tool_call(0, arguments=OSLO[3:])),
        ],
        TWICE_THE_SAME,
    ),
    (
        "parallel, all index 0, the same name, the id in every piece",
        [
            calling(tool_call(0, "a", "weather", HALF_ROME)),
            calling(tool_call(0, "a", "weather", REST_OF_ROME)),
            calling(tool_call(0, "b", "weather", OSLO)),
        ],
        TWICE_THE_SAME,
    ),
    (
        "three of them",
        [
            calling(
                tool_call(0, "a", "f", "1"),
                tool_call(0, "b", "f", "2"),
                tool_call(0, "c", "g", "3"),
            )
        ],
        [("a", "f", "1"), ("b", "f", "2"), ("c", "g", "3")],
    ),
    (
        "no index, arguments in three chunks",
        [
            calling(without_index(id="a", name="weather", arguments="")),
            calling(without_index(arguments=HALF_ROME)),
            calling(without_index(arguments=REST_OF_ROME)),
        ],
        ONE_CALL,
    ),
    (
        "no index, two calls, each in two chunks",
        [
            calling(without_index(id="a", name="weather", arguments=HALF_ROME)),
            calling(without_index(arguments=REST_OF_ROME)),
            calling(without_index(id="b", name="weather", arguments=OSLO[:5])),
            calling(without_index(arguments=OSLO[5:])),
        ],
        TWICE_THE_SAME,
    ),
    (
        "no index, two calls in one chunk",
        [
            calling(
                without_index(id="a", name="weather", arguments=ROME),
                without_index(id="b", name="clock", arguments="{}"),
            )
        ],
        TWO_CALLS,
    ),
    (
        "a new id in each of three pieces",
        [
            calling(tool_call(0, "a", "weather", "")),
            calling(tool_call(0, "x", arguments=HALF_ROME)),
            calling(tool_call(0, "y", arguments=REST_OF_ROME)),
        ],
        ONE_CALL,
    ),
    (
        "a new id in each piece, and an empty name",
        [
            calling(tool_call(0, "a", "weather", HALF_ROME)),
            calling(tool_call(0, "x", "", REST_OF_ROME)),
        ],
        ONE_CALL,
    ),
    (
        "a new id in each piece of two calls",
        [
            calling(tool_call(0, "a", "weather", HALF_ROME)),
            calling(tool_call(1, "b", "clock", "{")),
            calling(tool_call(0, "x", arguments=REST_OF_ROME)),
            calling(tool_call(1, "y", arguments="}")),
        ],
        TWO_CALLS,
    ),
    (
        "the name and the id in every piece",
        [
            calling(tool_call(0, "a", "weather", piece))
            for piece in ("", HALF_ROME, REST_OF_ROME)
        ],
        ONE_CALL,
    ),
    (
        "the name in every piece, the id in the first",
        [
            calling(tool_call(0, "a", "weather", HALF_ROME)),
            calling(tool_call(0, None, "weather", REST_OF_ROME)),
        ],
        ONE_CALL,
    ),
    (
        "the name in every piece, the id empty later",
        [
            calling(tool_call(0, "a", "weather", HALF_ROME)),
            calling(tool_call(0, "", "weather", REST_OF_ROME)),
        ],
        ONE_CALL,
    ),
    (
        "the name in two pieces",
        [
            calling(tool_call(0, "a", "wea", "")),
            calling(tool_call(0, None, "ther", ROME)),
        ],
        ONE_CALL,
    ),
    (
        "the name in two pieces, the id empty in the second",
        [
            calling(tool_call(0, "a", "wea")),
            calling(tool_call(0, "", "ther", HALF_ROME)),
            calling(tool_call(0, "", "", REST_OF_ROME)),
        ],
        ONE_CALL,
    ),
    (
        "the id before the name",
        [
            calling(tool_call(0, "a")),
            calling(tool_call(0, "a", "weather", HALF_ROME)),
            calling(tool_call(0, arguments=REST_OF_ROME)),
        ],
        ONE_CALL,
    ),
    (
        "no arguments at all",
        [calling(tool_call(0, "a", "now"))],
        [("a", "now", "{}")],
    ),
    (
        "arguments null, then an empty text",
        [calling(with_arguments(0, "a", None)), calling(with_arguments(0, "a", ""))],
        [("a", "now", "{}")],
    ),
    (
        "one without arguments before one with",
        [
            calling(tool_call(0, "a", "now", "")),
            calling(tool_call(1, "b", "weather", ROME)),
        ],
        [("a", "now", "{}"), ("b", "weather", ROME)],
    ),
    (
        "indexes that begin at 1",
        [
            calling(tool_call(1, "a", "weather", ROME)),
            calling(tool_call(2, "b", "clock", "{}")),
        ],
        TWO_CALLS,
    ),
)
# What a whole answer's arguments may be where there are none; ... stands for no field.
NO_ARGUMENTS = (..., None, "")
SUMMARY, ENCRYPTED = "reasoning.summary", "reasoning.encrypted"
THOUGHT = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}
REFERENCE = {"type": "reference", "reference_ids": [1]}
TWO_THINGS = [
    {"type": "text", "text": "one "},
    {"type": "text", "text": "two"},
]


def details(*entries):
    return {"reasoning_details": list(entries)}


def audio_of(**fields):
    return {"audio": fields}


REAL_DELTAS = (  # what, the deltas, fields of the message that they make
    (
        "a summary in pieces and a signature under one index",
        [
            details({"type": SUMMARY, "summary": "I ", "index": 0}),
            details({"type": SUMMARY, "summary": "see", "index": 0}),
            details({"type": ENCRYPTED, "data": "ZQ==", "id": "r1", "index": 0}),
        ],
        details(
            {"type": SUMMARY, "summary": "I see", "index": 0},
            {"type": ENCRYPTED, "data": "ZQ==", "id": "r1", "index": 0},
        ),
    ),
    (
        "both in one chunk, the signature first",
        [
            details(
                {"type": ENCRYPTED, "data": "ZQ==", "index": 0},
                {"type": "reasoning.text", "text": "I ", "index": 0},
            ),
            details({"type": "reasoning.text", "text": "see", "index": 0}),
        ],
        details(
            {"type": ENCRYPTED, "data": "ZQ==", "index": 0},
            {"type": "reasoning.text", "text": "I see", "index": 0},
        ),
    ),
    (
        "a text whose signature comes last",
        [
            details({"type": "reasoning.text", "text": "I see", "index": 0}),
            details({"type": "reasoning.text", "signature": "c2ln", "index": 0}),
        ],
        details(
            {
                "type": "reasoning.text",
                "text": "I see",
                "index": 0,
                "signature": "c2ln",
            }
        ),
    ),
    (
        "a channel in every chunk",
        [
            {"channel": "final", "content": "a"},
            {"channel": "final", "content": "b"},
            {"channel": "final", "content": "a"},
        ],
        {"channel": "final", "content": "aba"},
    ),
    (
        "a role and a name in every chunk",
        [
            {"role": "assistant", "name": "bot", "content": "a"},
            {"role": "assistant", "name": "bot", "content": "a"},
        ],
        {"role": "assistant", "name": "bot", "content": "aa"},
    ),
    (
        "equal pieces of all that comes in pieces",
        [{"reasoning": "ha", "reasoning_content": "ho", "refusal": "no"}] * 2,
        {"reasoning": "haha", "reasoning_content": "hoho", "refusal": "nono"},
    ),
    (
        "content 0 at the end",
        [{"content": "Hello"}, {"content": 0}],
        {"content": "Hello"},
    ),
    (
        "content false at the end",
        [{"content": "Hello"}, {"content": False}],
        {"content": "Hello"},
    ),
    (
        "content [] at the end",
        [{"content": "Hello"}, {"content": []}],
        {"content": "Hello"},
    ),
    (
        "content {} at the end",
        [{"content": "Hello"}, {"content": {}}],
        {"content": "Hello"},
    ),
    (
        "reasoning false at the end",
        [{"reasoning": "Hm", "content": "x"}, {"reasoning": False}],
        {"reasoning": "Hm", "content": "x"},
    ),
    (
        "tool_calls [] at the end",
        [{"tool_calls": [dict(CALL, index=0)]}, {"tool_calls": []}],
        {"tool_calls": [CALL]},
    ),
    (
        "wrong types first",
        [{"content": False}, {"content": "Hello"}],
        {"content": "Hello"},
    ),
    (
        "audio with padding in each piece",
        [
            {"audio": {"id": "au", "data": text64(b"one!"), "transcript": "o"}},
            {"audio": {"data": text64(b"two"), "transcript": "n"}},
            {"audio": {"data": text64(b"threee"[:5]), "transcript": "e"}},
        ],
        audio_of(id="au", data=text64(b"one!twothree"), transcript="one"),
    ),
    (
        "audio cut anywhere in one text of base64",
        [
            {"audio": {"data": text64(b"one, two")[:3]}},
            {"audio": {"data": text64(b"one, two")[3:]}},
        ],
        audio_of(data=text64(b"one, two")),
    ),
    (
        "audio whose pieces are no base64",
        [{"audio": {"data": "b=ne"}}, {"audio": {"data": "tw="}}],
        audio_of(data="b=netw="),
    ),
    (
        "an image in each of two chunks",
        [
            {
                "images": [
                    {"index": 0, "image_url": {"url": "data:image/png;base64,AA"}}
                ]
            },
            {
                "images": [
                    {"index": 1, "image_url": {"url": "data:image/png;base64,BB"}}
                ]
            },
        ],
        {
            "images": [
                {"index": 0, "image_url": {"url": "data:image/png;base64,AA"}},
                {"index": 1, "image_url": {"url": "data:image/png;base64,BB"}},
            ]
        },
    ),
    (
        "an image that is repeated",
        [{"images": [{"image_url": {"url": "data:image/png;base64,AA"}}]}] * 2,
        {"images": [{"image_url": {"url": "data:image/png;base64,AA"}}]},
    ),
    (
        "a link that is repeated under one index",
        [{"images": [{"index": 0, "image_url": {"url": "https://example.com/a"}}]}] * 2,
        {"images": [{"index": 0, "image_url": {"url": "https://example.com/a"}}]},
    ),
)
REAL_CONTENTS = (  # what, the contents of the deltas, the text that they come to
    ("parts in each", [[TWO_THINGS[0]], [TWO_THINGS[1]]], "one two"),
    ("parts in one", [TWO_THINGS], "one two"),
    ("a string, then parts", ["zero ", TWO_THINGS], "zero one two"),
    ("parts, then a string", [TWO_THINGS, " three"], "one two three"),
    ("parts, then null", [TWO_THINGS, None], "one two"),
    ("a thought first", [[THOUGHT], TWO_THINGS], "one two"),
    ("a thought and text in one", [[THOUGHT, *TWO_THINGS]], "one two"),
    ("a reference between", ["one", [REFERENCE], " two"], "one two"),
    ("a reference at the end", ["one", " two", [REFERENCE], ""], "one two"),
    ("a wrong type between", ["one", 7, " two"], "one two"),
    ("a bare string as a part", [["one ", TWO_THINGS[1]]], "one two"),
    ("bare strings as parts", [["one"], [" two"]], "one two"),
    ("parts without a type", [[{"text": "one "}], [{"text": "two"}]], "one two"),
    ("a part of no type", [[{"type": None, "text": "one "}], "two"], "one two"),
)
REAL_HALVES = (  # what, the contents of the deltas, the pieces of text_stream joined
    ("two halves", ["\ud83d", "\ude00"], "\U0001f600"),
    ("text around them", ["a\ud83d", "\ude00b"], "a\U0001f600b"),
    ("an empty delta between", ["\ud83d", "", "\ude00"], "\U0001f600"),
    ("a chunk without content between", ["\ud83d", None, "\ude00"], "\U0001f600"),
    ("two characters", ["\ud83d", "\ude00\ud83d", "\ude01"], "\U0001f600\U0001f601"),
    ("the first half alone", ["a\ud83d", "b"], "a\ufffdb"),
    ("the first half last", ["a", "\ud83d"], "a\ufffd"),
    ("the second half alone", ["a", "\ude00b"], "a\ufffdb"),
    ("the halves the wrong way round", ["\ude00", "\ud83d"], "\ufffd\ufffd"),
)
GIVEN_USAGE = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
REAL_FIELDS = (  # what, the chunks, fields of the completion
    (
        "an id that is empty at the end",
        [ONCE, dict(END, id="", model="", created=0)],
        {"id": "chatcmpl-1", "model": "stand-in", "created": 1700000000},
    ),
    (
        "an id that is null, then another one",
        [
            dict(ONCE, id=None, model="", created=0),
            dict(UPON, id="x", model="m1", created=5),
            dict(END, id="y", model="unknown", created=6),
        ],
        {"id": "x", "model": "m1", "created": 5},
    ),
    (
        "another field that is 0 or empty at the end",
        [dict(ONCE, cost=1, service_tier="s"), dict(END, cost=0, service_tier="")],
        {"cost": 0, "service_tier": ""},
    ),
    (
        "a field that is null at the end",
        [dict(ONCE, service_tier="s"), dict(END, service_tier=None)],
        {"service_tier": "s"},
    ),
    (
        "usage in two chunks",
        [
            dict(ONCE, usage={"prompt_tokens": 7}),
            dict(END, usage={"completion_tokens": 2, "total_tokens": 9}),
        ],
        {"usage": GIVEN_USAGE},
    ),
    (
        "usage that grows",
        [
            dict(ONCE, usage=dict(GIVEN_USAGE, completion_tokens=1, total_tokens=8)),
            dict(END, usage=GIVEN_USAGE),
        ],
        {"usage": GIVEN_USAGE},
    ),
    (
        "usage, then null",
        [dict(ONCE, usage=GIVEN_USAGE), dict(END, usage=None)],
        {"usage": GIVEN_USAGE},
    ),
    (
        "usage with details in two chunks",
        [
            dict(ONCE, usage={"prompt_tokens_details": {"cached_tokens": 1}}),
            dict(END, usage={"prompt_tokens_details": {"audio_tokens": 2}}),
        ],
        {"usage": {"prompt_tokens_details": {"cached_tokens": 1, "audio_tokens": 2}}},
    ),
    (
        "usage in a chunk of its own, no choices",
        [END, {"id": "chatcmpl-1", "usage": GIVEN_USAGE}],
        {"usage": GIVEN_USAGE},
    ),
    (
        "usage in a chunk of its own, choices null",
        [END, {"choices": None, "usage": GIVEN_USAGE}],
        {"usage": GIVEN_USAGE},
    ),
)
PADDED = (  # chunks with padding against traffic analysis
    dict(ONCE, obfuscation="x9f"),
    with_choice(delta={"content": "a", "obfuscation": "q"}, obfuscation="y"),
)
REAL_REASONS = (  # the finish_reasons of the chunks, the completion's; None: cut off
    (["null", "null", "stop"], "stop"),
    (["", "", "length"], "length"),
    (["stop", "null"], "stop"),
    (["tool_calls", ""], "tool_calls"),
    (["stop", None], "stop"),
    (["null", "null"], None),
    (["", ""], None),
    ([None, "null", ""], None),
)
CUT_BY_ERROR = with_choice(
    delta={"content": ""},
    finish_reason="error",
    error={"code": 502, "message": "provider gone"},
)
REAL_STREAM_ERRORS = (  # what, content type, body, words, code, text of the partial
    (
        "object: error",
        "text/event-stream",
        stream_body({"object": "error", "message": "too long", "code": 400}),
        "too long",
        400,
        "",
    ),
    (
        "object: error, after text",
        "text/event-stream",
        stream_body(ONCE, {"object": "error", "message": "too long", "code": "x"}),
        "too long",
        "x",
        "Once",
    ),
    (
        "detail, after text",
        "text/event-stream",
        stream_body(ONCE, {"detail": "worker died"}),
        "worker died",
        None,
        "Once",
    ),
    (
        "detail as FastAPI's list",
        "text/event-stream",
        stream_body({"detail": [{"loc": ["body"], "msg": "field required"}]}),
        "field required",
        None,
        "",
    ),
    (
        "code and message",
        "text/event-stream",
        stream_body({"code": "InvalidParameter", "message": "bad range"}),
        "bad range",
        "InvalidParameter",
        "",
    ),
    (
        "an error beside empty choices",
        "text/event-stream",
        stream_body(ONCE, {"choices": [], "error": {"code": 503, "message": "busy"}}),
        "busy",
        503,
        "Once",
    ),
    (
        "an error in an array",
        "text/event-stream",
        stream_body([{"error": {"code": 503, "message": "overloaded"}}]),
        "overloaded",
        503,
        "",
    ),
    (
        "in a choice, after text",
        "text/event-stream",
        stream_body(ONCE, UPON, CUT_BY_ERROR),
        "provider gone",
        502,
        "Once upon",
    ),
    (
        "in a choice, beside text",
        "text/event-stream",
        stream_body(
            ONCE,
            with_choice(delta={"content": " upon"}, error={"message": "gone"}),
        ),
        "gone",
        None,
        "Once upon",
    ),
    (
        "[DONE] alone",
        "text/event-stream",
        stream_body(),
        "no answer",
        None,
        "",
    ),
    (
        "[DONE] after chunks without choices",
        "text/event-stream",
        stream_body({"choices": []}, {"usage": GIVEN_USAGE}),
        "no answer",
        None,
        "",
    ),
    (
        "a 200 with nothing but a 429",
        "application/json",
        json.dumps({"error": {"code": 429, "message": "slow down"}}),
        "slow down",
        429,
        "",
    ),
    (
        "a bare error in an event stream",
        "text/event-stream",
        json.dumps({"code": 429, "message": "exhausted"}),
        "exhausted",
        429,
        "",
    ),
    (
        "a bare array with an error in an event stream",
        "text/event-stream",
        json.dumps([{"error": {"code": 400, "message": "no key"}}]),
        "no key",
        400,
        "",
    ),
    (
        "a document without a choice",
        "application/json",
        json.dumps(bare(completion("x"), choices=[])),
        "no choice",
        None,
        "",
    ),
)
FAILED_CHOICE = {
    "index": 0,
    "message": {"role": "assistant", "content": "half"},
    "finish_reason": "error",
    "error": {"code": 502, "message": "provider gone"},
}
REAL_WHOLE_ERRORS = (  # what, the document, words, code
    (
        "object: error",
        {"object": "error", "message": "too long", "code": 400},
        "too long",
        400,
    ),
    ("detail", {"detail": "worker died"}, "worker died", None),
    (
        "detail as FastAPI's list",
        {"detail": [{"loc": ["body"], "msg": "field required"}]},
        "field required",
        None,
    ),
    (
        "code and message",
        {"code": "Busy", "message": "come back"},
        "come back",
        "Busy",
    ),
    ("in an array", [{"error": {"code": 503, "message": "no"}}], "no", 503),
    ("an error as text", {"error": "no such model"}, "no such model", None),
    (
        "an error beside empty choices",
        {"choices": [], "error": {"code": 503, "message": "busy"}},
        "busy",
        503,
    ),
    ("in a choice", {"choices": [FAILED_CHOICE]}, "provider gone", 502),
    (
        "in a choice, its finish_reason null",
        {"choices": [dict(FAILED_CHOICE, finish_reason=None)]},
        "provider gone",
        502,
    ),
    ("no choice", {"id": "c1", "choices": []}, "no choice", None),
    ("no choice but usage", {"choices": [], "usage": GIVEN_USAGE}, "no choice", None),
    ("a 200 with a code 500", {"error": {"code": 500, "message": "x"}}, "x", 500),
)
REAL_STATUS_ERRORS = (  # status, the document, error, words, code
    (
        400,
        [{"error": {"code": 400, "message": "not valid", "status": "INVALID"}}],
        BadRequestError,
        "not valid",
        400,
    ),
    (
        429,
        [{"error": {"code": 429, "message": "quota"}}],
        RateLimitError,
        "quota",
        429,
    ),
    (
        400,
        {"object": "error", "message": "too long", "code": 40303},
        BadRequestError,
        "too long",
        40303,
    ),
    (404, {"detail": "Not Found"}, NotFoundError, "Not Found", None),
)
EVENTS = stream_body(ONCE, UPON, END)
REAL_LABELS = (  # what, content type, a body that says "Once upon"
    ("events as JSON", "application/json", EVENTS),
    ("events as text", "text/plain", EVENTS),
    ("events without a type that is known", "application/octet-stream", EVENTS),
    ("events that begin with a comment", "application/json", ": hello\n\n" + EVENTS),
    ("events behind empty lines", "text/plain; charset=utf-8", "\n\n" + EVENTS),
    ("a document as events", "text/event-stream", BODY),
    ("a document as events, white space around", "text/event-stream", "\n " + BODY),
    ("a document as text", "text/plain", BODY),
    ("a document, then [DONE]", "application/json", BODY + "\ndata: [DONE]\n\n"),
    ("both as events", "text/event-stream", BODY + "\n\ndata: [DONE]\n\n"),
    ("a byte order mark", "application/json", "\ufeff" + BODY),
)
REAL_HEARTBEATS = (  # what, its bytes
    ("a comment", b": keep-alive\n\n"),
    ("a comment without a blank line", b":\n"),
    ("an empty data", b"data:\n\n"),
    ("an empty data with a space", b"data: \n\n"),
    ("two empty lines of data", b"data:\ndata:\n\n"),
    ("a ping with a date", b"event: ping\ndata: 2024-04-07 20:20:50\n\n"),
    ("a ping without data", b"event: ping\n\n"),
    ("a ping as an object", b'event: ping\ndata: {"type": "ping"}\n\n'),
    ("another type", b"event: keepalive\ndata: {}\n\n"),
    ("a type of the service's own", b'event: status\ndata: {"progress": 3}\n\n'),
    ("a retry alone", b"retry: 3000\n\n"),
    ("an id alone", b"id: 7\n\n"),
)
SIGNED = [
    {"type": "reasoning.text", "text": text, "signature": signature}
    for text, signature in (("one", "c2ln"), ("two", "bmVk"))
]
REPEATED = (  # what, the deltas of a message
    ("a text", [{"content": "Once"}, {"content": " upon"}]),
    (
        "reasoning",
        [{"reasoning": "I "}, {"reasoning": "see"}, {"content": "Once"}],
    ),
    (
        "reasoning_content alone",
        [{"reasoning_content": "I "}, {"reasoning_content": "see"}],
    ),
    (
        "reasoning_details",
        [
            details({"type": SUMMARY, "summary": "I ", "index": 0}),
            details({"type": SUMMARY, "summary": "see", "index": 0}),
        ],
    ),
    (
        "a call",
        [
            {"tool_calls": [tool_call(0, "a", "weather", HALF_ROME)]},
            {"tool_calls": [tool_call(0, arguments=REST_OF_ROME)]},
        ],
    ),
    (
        "a text and a call",
        [
            {"role": "assistant", "content": "Once"},
            {"tool_calls": [tool_call(0, "a", "weather", ROME)]},
        ],
    ),
)
SAME_ID = [a_call("a", "weather", ROME), a_call("a", "clock", "{}")]
WITHOUT_INDEX = [
    bare(completion(text)["choices"][0], index=None) for text in ("Once", "upon")
]
DOCUMENTS = (  # what, a whole answer
    ("two calls with one id", completion(None, "tool_calls", tool_calls=SAME_ID)),
    ("equal calls", completion(None, "tool_calls", tool_calls=SAME_ID[:1] * 2)),
    ("two choices without an index", dict(completion(""), choices=WITHOUT_INDEX)),
    ("two signed thoughts", completion("Once", reasoning_details=SIGNED)),
    ("text parts", completion(TWO_THINGS)),
    ("equal text parts", completion(TWO_THINGS[:1] * 2)),
    ("a thought and text parts", completion([THOUGHT, *TWO_THINGS])),
    ("no content", completion(None)),
    ("unknown fields", dict(completion("Once", odd=[1, 1]), more={"a": [{}]})),
)
EMPTY_FIRST = (  # what, the chunks, fields of the completion, its choice, its message
    (
        "content {}",
        [with_choice(delta={"content": {}}), ONCE, UPON],
        {"content": "Once upon"},
    ),
    (
        "content []",
        [with_choice(delta={"content": []}), ONCE, UPON],
        {"content": "Once upon"},
    ),
    (
        "reasoning {}",
        [chunk(reasoning={}), chunk(reasoning="I "), chunk(reasoning="see")],
        {"reasoning": "I see"},
    ),
    (
        "reasoning_details {}",
        [chunk(reasoning_details={}), chunk(**details(*SIGNED[:1]))],
        details(*SIGNED[:1]),
    ),
    (
        "usage []",
        [dict(ONCE, usage=[]), dict(UPON, usage={"total_tokens": 9})],
        {"usage": {"total_tokens": 9}},
    ),
    (
        "usage ''",
        [dict(ONCE, usage=""), dict(UPON, usage={"total_tokens": 9})],
        {"usage": {"total_tokens": 9}},
    ),
    (
        "tool_calls {}",
        [chunk(tool_calls={}), chunk(tool_calls=[CALL])],
        {"tool_calls": [dict(CALL)]},
    ),
    (
        "logprobs []",
        [
            with_choice(delta={"content": "a"}, logprobs=[]),
            with_choice(delta={"content": "b"}, logprobs={"content": [a_token("b")]}),
        ],
        {"logprobs": {"content": [a_token("b")]}},
    ),
    (
        "audio []",
        [chunk(audio=[]), chunk(audio={"id": "a1", "transcript": "hi"})],
        audio_of(id="a1", transcript="hi"),
    ),
    (
        "an unknown field [], then an object",
        [chunk(odd=[]), chunk(odd={"a": 1})],
        {"odd": {"a": 1}},
    ),
    (
        "an unknown field {}, then a list",
        [chunk(odd={}), chunk(odd=[1])],
        {"odd": [1]},
    ),
)
FILTERED = {"prompt_filter_results": [{"prompt_index": 0}]}
REAL_OTHER_CHUNKS = (  # chunks that are no choices of the answer
    dict(FILTERED, id="", choices=[]),
    dict(FILTERED, choices=None),
    {"usage": GIVEN_USAGE},
    {"id": "c1", "obfuscation": "x9f"},
    {},
)
UNENDED = (  # what, the last bytes of a stream
    ("no line end", event(END)[:-2]),
    ("one line end", event(END)[:-1]),
    ("\\r\\n", event(END)[:-2] + b"\r\n"),
    ("a type before it", b"event: message\n" + event(END)[:-1]),
)


def strict(received):
    """The answer of a server that takes messages only as the API defines them."""
    for message in received.json["messages"]:
        if message["role"] == "assistant":
            wrong = what_is_wrong(message)
            if wrong:
                return http_answer(422, {"detail": "%s: %r" % (wrong, message)})
    return ANSWER


def what_is_wrong(message):
    """Why a strict server refuses an assistant's message; ``None``: it does not."""
    calls = message.get("tool_calls")
    nulls = [name for name in message if message[name] is None]
    if nulls not in ([], ["content"]) or (nulls and not calls):
        return "null"
    if {"annotations", "parsed"} & set(message) or calls == []:
        return "a field that only answers have"
    if "id" in message.get("audio", ()) and list(message["audio"]) != ["id"]:
        return "audio is more than its id"
    for call in calls or ():
        is_named = isinstance(call.get("id"), str) and isinstance(call.get("type"), str)
        if not is_named or not call["id"]:
            return "a call without id or type"
        if call["type"] == "function":
            json.loads(call["function"]["arguments"])
            if not call["function"]["name"]:
                return "a call without a name"
    return None


PAGE = "<html><title>Welcome</title></html>"
REAL_LISTS = (  # what, the chunks, fields of the completion, its choice or its message
    (
        "tokens of each chunk, equal ones too",
        [
            with_choice(delta={"content": "a"}, token_ids=ids)
            for ids in ([5], [5], [5, 8])
        ],
        {"token_ids": [5, 5, 5, 8]},
    ),
    (
        "two encrypted thoughts under one index",
        [
            chunk(**details({"type": ENCRYPTED, "data": data, "id": id, "index": 0}))
            for data, id in (("UFE=", "r1"), ("UlM=", "r2"))
        ],
        details(
            {"type": ENCRYPTED, "data": "UFE=", "id": "r1", "index": 0},
            {"type": ENCRYPTED, "data": "UlM=", "id": "r2", "index": 0},
        ),
    ),
    (
        "pictures that are numbered anew",
        [chunk(images=[{"index": 0, "url": url}]) for url in ("data:a", "data:b")],
        {"images": [{"index": 0, "url": "data:a"}, {"index": 0, "url": "data:b"}]},
    ),
    (
        "a list that is sent again, longer",
        [chunk(odd=[1, 1]), chunk(odd=[1, 1, 2]), chunk(odd=[1, 1, 2])],
        {"odd": [1, 1, 2]},
    ),
    (
        "a list in pieces, some of them again",
        [chunk(odd=[{"a": 1, "b": 2}]), chunk(odd=[3]), chunk(odd=[{"b": 2, "a": 1}])],
        {"odd": [{"a": 1, "b": 2}, 3]},
    ),
    (
        "lists beside the choices: the last one",
        [
            dict(ONCE, sources=["x"]),
            dict(UPON, sources=["y", "x"]),
            dict(END, sources=[]),
        ],
        {"sources": []},
    ),
    (
        "lists in an object beside the choices",
        [dict(ONCE, odd={"a": [1, 2]}), dict(UPON, odd={"a": [3]})],
        {"odd": {"a": [3]}},
    ),
)
REAL_ENDS = (  # a finish_reason, a word of what is said of it; None: it is a good end
    ("stop", None),
    ("eos", None),
    ("end_turn", None),
    ("stop_sequence", None),
    ("complete", None),
    ("STOP", None),
    ("length", "limit of tokens"),
    ("MAX_TOKENS", "limit of tokens"),
    ("content_filter", "content filter"),
    ("model_length", "model_length"),
    ("abort", "abort"),
    ("insufficient_system_resource", "insufficient_system_resource"),
)
FIELD_MISSING = {"loc": ["body", "messages", 2, "content"], "msg": "Field required"}
REAL_OTHER_ERRORS = (  # what, the document, words of the error, its code
    ("error_msg", {"error_code": 17, "error_msg": "daily limit"}, ["daily limit"], 17),
    (
        "base_resp",
        {"choices": None, "base_resp": {"status_code": 1008, "status_msg": "no money"}},
        ["no money"],
        1008,
    ),
    ("msg", {"code": 500, "msg": "no such group"}, ["no such group"], 500),
    ("reason", {"reason": "quota is used up"}, ["quota is used up"], None),
    ("errors", {"errors": [{"message": "boom", "code": 7}]}, ["boom"], None),
    (
        "a provider's own words",
        {
            "error": {
                "message": "Provider returned error",
                "code": 400,
                "metadata": {"raw": "812 tokens too many", "provider_name": "P"},
            }
        },
        ["Provider returned error", "812 tokens too many"],
        400,
    ),
    (
        "a provider's own words as JSON",
        {
            "error": {
                "message": "Provider returned error",
                "metadata": {"raw": '{"error": {"message": "too long"}}'},
            }
        },
        ["Provider returned error: too long"],
        None,
    ),
    (
        "a field's path",
        {"detail": [FIELD_MISSING, dict(FIELD_MISSING, loc=["query", "a"])]},
        ["messages.2.content: Field required", "query.a: Field required"],
        None,
    ),
    (
        "a field's path within the message",
        {"object": "error", "message": {"detail": [FIELD_MISSING]}},
        ["messages.2.content: Field required"],
        None,
    ),
)


BUSY_ERROR = {"code": 429, "message": "busy"}


class RealServers(Test):
    def assert_goes_back(self, made):
        """A strict server takes the message of an answer, and results of its calls."""
        results = [tool_result(call.id, "x") for call in made.tool_calls]
        if not hasattr(self, "strict"):
            self.strict = self.client(self.serve(strict))
        reply = self.strict.complete([user("hi"), made.message, *results])
        self.assertEqual(reply.text, "Once upon")

    def answers(self, *script):
        """A client of a stand-in with this script, that tries once."""
        return self.client(self.serve(*script), max_retries=0)

    def streamed(self, *chunks):
        """The completion of these chunks, END and [DONE]; the stream's text is looked
        at here."""
        client = self.answers(sse(*chunks, END, "[DONE]"))
        with client.stream("hi") as stream:
            text = "".join(stream.text_stream)
            made = stream.get_final_completion()
        self.assertEqual(text, made.text)
        self.assert_goes_back(made)
        return made

    def whole(self, body):
        made = self.answers(http_answer(200, body)).complete("hi")
        self.assert_goes_back(made)
        return made

    def test_an_error_that_is_only_a_mark_leaves_the_words_to_others(self):
        for body in (
            {"error": True, "message": "quota exceeded"},
            {"error": 1, "msg": "quota exceeded"},
            {"error": {"message": 5, "detail": "quota exceeded"}},
        ):
            for streamed in (False, True):
                answers = [http_answer(200, body), sse(body)]
                client = self.answers(answers[streamed])
                kind = StreamError if streamed else ResponseError
                with self.subTest(body=body, streamed=streamed):
                    words = ["reported: quota exceeded"]
                    error = self.refused(kind, words, ask, client, streamed)
                    self.assertEqual(error.body, body)

    def test_calls_without_an_id_get_one_each_that_stays_the_same(self):
        for missing in (..., None, ""):
            calls = [dict(CALL, id=missing), dict(CALL, id=missing)]
            if missing is ...:
                calls = [bare(CALL, id=None)] * 2
            pieces = [dict(call, index=n) for n, call in enumerate(calls)]
            client = self.answers(sse(chunk(tool_calls=pieces), END, "[DONE]"))
            stream = client.stream("hi")
            whole = self.whole(completion(None, "tool_calls", tool_calls=calls))
            for made in (whole, stream.get_final_completion()):
                with self.subTest(missing=missing):
                    ids = [call.id for call in made.tool_calls]
                    self.assertEqual(len(set(ids)), 2)
                    for made_up in ids:
                        self.assertRegex(made_up, r"\Acall_[0-9a-f]{24}\Z")
            again = stream.get_final_completion()
            self.assertEqual([call.id for call in again.tool_calls], ids)

    def test_a_call_without_a_type_is_a_functions(self):
        for missing in (..., None, ""):
            call = bare(CALL, type=None) if missing is ... else dict(CALL, type=missing)
            for made in (
                self.whole(completion(None, tool_calls=[call])),
                self.streamed(calling(dict(call, index=0))),
            ):
                with self.subTest(missing=missing):
                    self.assertEqual(made.tool_calls[0].type, "function")

    def test_arguments_that_are_no_text_read_as_the_text_of_their_json(self):
        for arguments in ({"q": "tea\u00e9", "n": [1, 2]}, [1, {"a": None}]):
            call = dict(CALL, function={"name": "f", "arguments": arguments})
            for made in (
                self.whole(completion(None, tool_calls=[call])),
                self.streamed(calling(dict(call, index=0))),
            ):
                with self.subTest(arguments):
                    text = made.tool_calls[0].function.arguments
                    self.assertEqual(json.loads(text), arguments)

    def test_content_that_is_an_object_is_the_text_of_its_json(self):
        content = {"title": "caf\u00e9", "pages": [1]}
        for made in (
            self.whole(completion(content)),
            self.streamed(with_choice(delta={"content": content})),
        ):
            self.assertEqual(json.loads(made.text), content)
            self.assertEqual(made.json(), content)
            self.assertEqual(made.message.content, made.text)

    def test_usage_in_another_place_is_the_answers(self):
        for place in ("x_groq", "the last choice"):
            in_choice = {"usage": GIVEN_USAGE} if place != "x_groq" else {}
            beside = {"x_groq": {"usage": GIVEN_USAGE}} if place == "x_groq" else {}
            last = with_choice(finish_reason="stop", **in_choice)
            whole = bare(completion("Once"), usage=None, **beside)
            whole["choices"][0].update(in_choice)
            for made in (self.whole(whole), self.streamed(ONCE, dict(last, **beside))):
                with self.subTest(place):
                    self.assertEqual(made.usage, GIVEN_USAGE)
                    kept = made.choices[0] if in_choice else made.x_groq
                    self.assertEqual(kept["usage"], GIVEN_USAGE)

    def test_lists_are_joined_by_their_kind(self):
        for what, chunks, fields in REAL_LISTS:
            with self.subTest(what):
                made = self.streamed(*chunks)
                said = dict(made, **dict(made.message, **made.choices[0]))
                self.assertEqual({name: said[name] for name in fields}, fields)

    def test_words_beside_a_choice_that_ended_in_an_error_are_not_lost(self):
        failed = with_choice(delta={"content": "a"}, finish_reason="error")
        for name in ("error_msg", "detail", "message"):
            client = self.answers(sse(ONCE, dict(failed, **{name: "quota " + KEY})))
            client.api_key = KEY
            with self.subTest(name):
                call = client.stream("hi").get_final_completion
                error = self.refused(StreamError, ["reported: quota ***"], call)
                self.assertEqual(error.partial.text, "Oncea")
                self.assertNotIn(KEY, repr(error.partial))

    def test_an_error_beside_choices_that_are_none_is_in_the_servers_words(self):
        for choices in (5, True, 1.5, "x", {}, {"a": 1}, [None], [5]):
            client = self.answers(sse(ONCE, {"error": "boom", "choices": choices}))
            for name, call in self.both(client):
                with self.subTest(choices, call=name):
                    self.refused(StreamError, ["reported: boom"], call)

    def test_all_lists_of_probabilities_keep_equal_items(self):
        names = ("content", "reasoning_content", "tokens", "token_texts")
        piece = with_choice(delta={}, logprobs={name: ["ha "] for name in names})
        made = self.streamed(ONCE, piece, piece, piece)
        self.assertEqual(
            made.choices[0].logprobs, {name: ["ha "] * 3 for name in names}
        )

    def test_a_wrong_type_takes_the_place_of_no_text(self):
        for wrong in (0, False, [], {}, 5):
            pieces = [
                with_choice(delta={"content": it, "text": it}) for it in ("", wrong)
            ]
            with self.subTest(wrong):
                message = self.streamed(*pieces).message
                self.assertEqual((message.content, message["text"]), ("", ""))

    def test_numbers_of_one_hash_are_not_one_item(self):
        pieces = [with_choice(delta={"boxes": [it]}) for it in (-1, -2, -1.0, -2.0, 3)]
        made = self.streamed(*pieces)
        self.assertEqual(
            list(map(repr, made.message.boxes)), "-1 -2 -1.0 -2.0 3".split()
        )

    def test_a_growing_text_beside_the_choices_keeps_equal_pieces(self):
        pieces = [dict(ONCE, reasoning="ha "), dict(UPON, reasoning="ha ")]
        self.assertEqual(self.streamed(*pieces).reasoning, "ha ha ")

    def test_an_end_of_another_name_is_said_in_its_own_word(self):
        for reason, word in REAL_ENDS:
            made = self.whole(completion("{", reason))
            with self.subTest(reason):
                self.assertEqual(made.finish_reason, reason)
                error = self.refused(ResponseError, ["not JSON"], made.json)
                if word is None:
                    self.assertNotIn("ended early", str(error))
                    self.assertNotIn("cut off", str(error))
                else:
                    self.assertIn(word, str(error))

    def test_a_page_in_place_of_an_answer_names_the_url(self):
        for body in (PAGE, {"error": "Unexpected endpoint or method. (POST /chat)"}):
            kind = "text/html" if body == PAGE else "application/json"
            server = self.serve(http_answer(200, body, Content_Type=kind))
            for path, words in (("", ["/v1"]), ("/v1", []), ("/v1/v1", ["twice"])):
                url = "http://" + server.address + path
                client = self.client(url, max_retries=0)
                for name, call in self.both(client):
                    with self.subTest(path, call=name):
                        at = url + "/chat/completions"
                        self.refused((ResponseError, StreamError), [at, *words], call)

    def test_an_error_that_begins_like_a_page_is_none(self):
        client = self.answers(http_answer(200, {"error": {"message": "<400> No"}}))
        for name, call in self.both(client):
            with self.subTest(name):
                error = self.refused((ResponseError, StreamError), ["<400> No"], call)
                self.assertNotIn("URL", str(error))

    def test_an_answer_that_has_to_wait_says_its_status(self):
        for status in (202, 204):
            client = self.answers(http_answer(status))
            for name, call in self.both(client):
                with self.subTest(status, call=name):
                    words = ["empty", str(status)]
                    self.refused((ResponseError, StreamError), words, call)

    def test_content_encodings_that_are_none_change_nothing(self):
        for coding in ("none", "utf-8", "UTF-8", "binary", "identity", ""):
            answer = http_answer(200, completion("Once upon"), Content_Encoding=coding)
            client = self.answers(answer)
            for name, call in self.both(client):
                with self.subTest(coding, call=name):
                    self.assertEqual(call().text, "Once upon")

    def test_errors_in_other_words_and_places_are_understood(self):
        for what, document, words, code in REAL_OTHER_ERRORS:
            for status in (200, 400):
                client = self.answers(http_answer(status, document))
                for name, call in self.both(client):
                    with self.subTest(what, status=status, call=name):
                        kinds = (ResponseError, StreamError, BadRequestError)
                        error = self.refused(kinds, words, call)
                        self.assertEqual(error.code, code)

    def test_an_error_or_a_chunk_of_another_type_of_event_is_not_skipped(self):
        usage = {"choices": [], "usage": GIVEN_USAGE}
        client = self.answers(sse(ONCE, event(usage, event="chunk"), END, "[DONE]"))
        self.assertEqual(client.stream("hi").get_final_completion().usage, GIVEN_USAGE)
        failed = event({"error": {"message": "boom"}}, event="chunk")
        stream = self.answers(sse(ONCE, failed)).stream("hi")
        self.refused(StreamError, ["boom"], stream.get_final_completion)

    def test_a_setting_that_is_repeated_beside_the_choices_does_not_grow(self):
        effort = {"reasoning": {"effort": "high", "summary": "auto"}}
        made = self.streamed(dict(ONCE, **effort), dict(UPON, **effort))
        self.assertEqual(made.reasoning, effort["reasoning"])

    def test_a_field_that_says_success_is_no_error(self):
        for beside in (
            {"base_resp": {"status_code": 0, "status_msg": "success"}},
            {"msg": "ok", "reason": "none", "error_code": 0},
        ):
            with self.subTest(beside):
                self.assertEqual(self.whole(dict(completion("x"), **beside)).text, "x")
                made = self.streamed(dict(ONCE, **beside))
                self.assertEqual(made.text, "Once")

    def test_a_list_of_models_may_be_null_or_have_another_name(self):
        for body, names in (
            ({"data": None}, []),
            ({"object": "list", "models": [{"id": "a"}]}, ["a"]),
            ({"data": []}, []),
            ([], []),
        ):
            with self.subTest(body):
                listed = self.answers(http_answer(200, body)).models.list()
                self.assertEqual([model.id for model in listed], names)

    def test_parallel_calls_are_told_apart_and_pieces_of_one_are_joined(self):
        for what, chunks, calls in REAL_CALLS:
            with self.subTest(what):
                made = [
                    (call.id, call.function.name, call.function.arguments)
                    for call in self.streamed(*chunks).tool_calls
                ]
                self.assertEqual(made, calls)

    def test_all_choices_tell_their_own_calls_apart(self):
        made = self.streamed(
            chunk(tool_calls=[tool_call(0, "a", "weather", ROME)], index=1),
            calling(tool_call(0, "b", "clock", "{}")),
            chunk(tool_calls=[tool_call(0, "c", "weather", OSLO)], index=1),
            chunk(None, "stop", index=1),
        )
        ids = [[call.id for call in made.message.tool_calls] for made in made.choices]
        self.assertEqual(ids, [["b"], ["a", "c"]])

    def test_a_call_without_arguments_in_a_whole_answer_has_an_empty_object(self):
        for arguments in NO_ARGUMENTS:
            function = {"name": "now", "arguments": arguments}
            if arguments is ...:
                del function["arguments"]
            with self.subTest(function):
                call = {"id": "a", "type": "function", "function": function}
                made = self.whole(completion(None, tool_calls=[call]))
                self.assertEqual(made.tool_calls[0].function.arguments, "{}")

    def test_calls_of_a_whole_answer_stay_what_they_are(self):
        calls = [dict(a_call("a", "f", ROME), index=0), dict(CALL, index=0)]
        made = self.whole(completion(None, "tool_calls", tool_calls=calls))
        self.assertEqual(made.tool_calls, calls)

    def test_fields_that_come_in_pieces_are_joined_and_all_others_kept(self):
        for what, deltas, fields in REAL_DELTAS:
            with self.subTest(what):
                chunks = [chunk(**delta) for delta in deltas]
                message = self.streamed(*chunks).message
                self.assertEqual({name: message[name] for name in fields}, fields)

    def test_what_is_joined_in_a_stream_is_as_it_is_in_a_whole_answer(self):
        for what, _, fields in REAL_DELTAS:
            with self.subTest(what):
                body = completion("x")
                body["choices"][0]["message"].update(fields)
                message = self.whole(body).message
                self.assertEqual({name: message[name] for name in fields}, fields)

    def test_the_text_of_content_in_parts_is_that_of_its_text_parts(self):
        for what, contents, text in REAL_CONTENTS:
            with self.subTest(what):
                chunks = [with_choice(delta={"content": it}) for it in contents]
                self.assertEqual(self.streamed(*chunks).text, text)

    def test_the_text_of_a_whole_content_in_parts_is_that_of_its_text_parts(self):
        for parts, text in (
            (TWO_THINGS, "one two"),
            ([THOUGHT, *TWO_THINGS], "one two"),
            ([REFERENCE], ""),
            ([], ""),
        ):
            with self.subTest(parts):
                made = self.whole(completion(parts))
                self.assertEqual(made.text, text)
                self.assertEqual(made.message.content, parts)

    def test_bare_strings_and_parts_without_a_type_are_text(self):
        for parts in (["one ", {"text": "two"}], ["one", " two"], ["one two"]):
            with self.subTest(parts):
                self.assertEqual(self.whole(completion(parts)).text, "one two")

    def test_a_message_that_is_repeated_beside_the_deltas_is_not_doubled(self):
        message = {"role": "assistant", "content": "Once upon"}
        for delta in ({}, {"content": ""}, {"content": None}):
            with self.subTest(delta):
                last = with_choice(delta=delta, message=message)
                self.assertEqual(self.streamed(ONCE, UPON, last).text, "Once upon")

    def test_a_last_chunk_that_repeats_the_whole_message_adds_nothing(self):
        for what, deltas in REPEATED:
            chunks = [chunk(**delta) for delta in deltas]
            message = assembled(*chunks, END).message
            last = with_choice(message=message, finish_reason="stop")
            del last["choices"][0]["delta"]
            for kind in ("chat.completion", "chat.completion.chunk"):
                with self.subTest(what, object=kind):
                    made = self.streamed(*chunks, dict(last, object=kind))
                    self.assertEqual(made.message, message)
                    self.assertEqual(made.object, "chat.completion")

    def test_messages_in_place_of_deltas_are_joined(self):
        for what, deltas in REPEATED:
            chunks = [chunk(**delta) for delta in deltas]
            message = assembled(*chunks, END).message
            for data in chunks:
                (choice,) = data["choices"]
                choice["message"] = choice.pop("delta")
            with self.subTest(what):
                self.assertEqual(self.streamed(*chunks).message, message)

    def test_a_document_in_answer_to_stream_is_the_answer_that_it_is(self):
        for what, document in DOCUMENTS:
            client = self.answers(http_answer(200, document))
            with self.subTest(what):
                made = client.stream("hi").get_final_completion()
                self.assertEqual(made, client.complete("hi"))
                self.assertIs(type(made), Completion)

    def test_the_text_of_a_document_in_answer_to_stream_is_that_of_its_choice(self):
        for what, document in DOCUMENTS:
            if len(document["choices"]) > 1:
                continue
            client = self.answers(http_answer(200, document))
            with self.subTest(what), client.stream("hi") as stream:
                text = "".join(stream.text_stream)
                self.assertEqual(text, client.complete("hi").text)

    def test_an_empty_value_of_another_kind_does_not_swallow_what_follows(self):
        for what, chunks, fields in EMPTY_FIRST:
            with self.subTest(what):
                made = self.streamed(*chunks)
                said = dict(made, **made.choices[0], **made.message)
                self.assertEqual({name: said.get(name) for name in fields}, fields)

    def test_an_empty_list_in_place_of_a_delta_is_an_empty_delta(self):
        nothing = with_choice(delta=[], finish_reason="stop")
        client = self.answers(sse(with_choice(delta=[]), ONCE, UPON, nothing))
        with client.stream("hi") as stream:
            deltas = [data.choices[0].delta for data in stream]
        self.assertEqual([delta.content for delta in deltas][1:3], ["Once", " upon"])
        self.assertEqual([deltas[0], deltas[3]], [{}, {}])
        self.assertIsNone(deltas[0].content)
        made = stream.get_final_completion()
        self.assertEqual((made.text, made.finish_reason), ("Once upon", "stop"))

    def test_parts_that_are_no_text_are_not_lost_in_the_final_message(self):
        for what, deltas in (
            ("a thought", [[THOUGHT], "one"]),
            ("a reference", ["one", [REFERENCE], ""]),
            ("both", [[THOUGHT, TWO_THINGS[0]], "two", [REFERENCE]]),
        ):
            with self.subTest(what):
                made = self.streamed(*map(chunk, deltas)).message.content
                for part in (THOUGHT, REFERENCE):
                    lists = [delta for delta in deltas if isinstance(delta, list)]
                    count = sum(part in delta for delta in lists)
                    self.assertEqual(made.count(part), count, made)

    def test_halves_of_a_surrogate_pair_are_put_together_or_replaced(self):
        for what, contents, text in REAL_HALVES:
            with self.subTest(what):
                chunks = [with_choice(delta={"content": it}) for it in contents]
                self.assertEqual(self.streamed(*chunks).text, text)

    def test_the_half_that_waits_in_vain_is_given_once(self):
        stream = self.answers(sse(chunk("a\ud83d"), END, "[DONE]")).stream("hi")
        self.assertEqual("".join(stream.text_stream), "a\ufffd")
        self.assertEqual(list(stream.text_stream), [])

    def test_no_piece_of_the_text_ends_in_half_a_character(self):
        for what, contents, _ in REAL_HALVES:
            with self.subTest(what):
                chunks = [with_choice(delta={"content": it}) for it in contents]
                client = self.answers(sse(*chunks, END, "[DONE]"))
                for piece in client.stream("hi").text_stream:
                    piece.encode("utf-8")

    def test_half_a_character_is_replaced_wherever_it_stands(self):
        half = {
            "content": "a\ud83d",
            "reasoning": "\ude00",
            "odd": {"\ud83d": ["\ud83d"]},
        }
        fixed = {
            "content": "a\ufffd",
            "reasoning": "\ufffd",
            "odd": {"\ufffd": ["\ufffd"]},
        }
        for what, made in (
            ("stream", self.streamed(chunk(**half))),
            (
                "whole",
                self.whole(completion(half["content"], **half_rest(half))),
            ),
        ):
            with self.subTest(what):
                message = made.message
                self.assertEqual({name: message[name] for name in fixed}, fixed)

    def test_the_first_that_says_something_or_the_last_said_stays(self):
        for what, chunks, fields in REAL_FIELDS:
            with self.subTest(what):
                client = self.answers(sse(*chunks, "[DONE]"))
                made = client.stream("hi").get_final_completion()
                self.assertEqual({name: made.get(name) for name in fields}, fields)

    def test_padding_is_given_to_the_caller_but_not_kept(self):
        client = self.answers(sse(*PADDED, END, "[DONE]"))
        with client.stream("hi") as stream:
            self.assertEqual(next(stream).obfuscation, "x9f")
            self.assertNotIn("obfuscation", json.dumps(stream.get_final_completion()))

    def test_a_finish_reason_that_says_nothing_ends_nothing(self):
        for reasons, reason in REAL_REASONS:
            chunks = [chunk("x", it) for it in reasons]
            client = self.answers(sse(*chunks))
            with self.subTest(reasons):
                if reason is not None:
                    made = client.stream("hi").get_final_completion()
                    self.assertEqual(made.finish_reason, reason)
                    self.assertEqual(made.choices[0].finish_reason, reason)
                    continue
                stream = client.stream("hi")
                error = self.refused(StreamError, [], stream.get_final_completion)
                self.assertEqual(error.partial.text, "x" * len(reasons))
                self.assertIsNone(error.partial.finish_reason)

    def test_done_is_the_end_of_a_stream_without_a_finish_reason(self):
        for reason in ("null", "", None):
            with self.subTest(reason):
                client = self.answers(sse(chunk("x", reason), "[DONE]"))
                made = client.stream("hi").get_final_completion()
                self.assertEqual((made.text, made.finish_reason), ("x", None))

    def test_a_whole_answers_finish_reason_that_says_nothing_is_none(self):
        for reason in ("null", "", None):
            with self.subTest(reason):
                made = self.whole(completion("x", reason))
                self.assertIsNone(made.finish_reason)

    def test_an_error_in_a_stream_is_raised_in_the_servers_words(self):
        for what, content_type, body, words, code, partial in REAL_STREAM_ERRORS:
            with self.subTest(what):
                client = self.answers(labelled(body, content_type))

                def read(client=client):
                    return client.stream("hi").get_final_completion()

                error = self.refused(StreamError, [words], read)
                self.assertEqual(error.code, code)
                self.assertEqual(error.partial.text, partial)

    def test_an_error_instead_of_a_whole_answer_is_raised_in_the_servers_words(self):
        for what, document, words, code in REAL_WHOLE_ERRORS:
            with self.subTest(what):
                client = self.answers(http_answer(200, document))
                error = self.refused(ResponseError, [words], client.complete, "hi")
                self.assertEqual(error.code, code)

    def test_an_error_whose_status_says_so_keeps_the_servers_words(self):
        for status, document, kind, words, code in REAL_STATUS_ERRORS:
            for streamed in (False, True):
                with self.subTest(document, status=status, streamed=streamed):
                    client = self.answers(http_answer(status, document))
                    error = self.refused(kind, [words], ask, client, streamed)
                    self.assertEqual(error.code, code)

    def test_a_whole_answer_that_reports_408_409_or_429_is_tried_again(self):
        for code in (408, 409, 429, "429"):
            with self.subTest(code):
                busy = {"error": {"code": code, "message": "busy"}, "id": "x"}
                server = self.serve(http_answer(200, busy), ANSWER)
                self.assertEqual(self.client(server).complete("hi").text, "Once upon")
                self.assertEqual(len(server.requests), 2)

    def test_text_beside_an_error_reaches_the_loop_before_the_error(self):
        both = with_choice(delta={"content": "a"}, finish_reason="error")
        stream = self.client(self.serve(sse(ONCE, both))).stream("hi")
        pieces = []
        with self.assertRaises(StreamError) as caught:
            for piece in stream.text_stream:
                pieces.append(piece)
        self.assertEqual(pieces, ["Once", "a"])
        self.assertEqual(caught.exception.partial.text, "Oncea")

    def test_no_other_error_after_a_200_is_sent_again(self):
        for document in (
            {"error": {"code": 500, "message": "x"}},
            {"error": {"code": 400, "message": "x"}},
            {"error": {"message": "x"}},
            {"choices": [dict(FAILED_CHOICE, error={"code": 429, "message": "x"})]},
            {"choices": []},
            {"error": BUSY_ERROR, "usage": {"total_tokens": 5}},
            {"error": BUSY_ERROR, "text": "Once"},
            {"error": dict(BUSY_ERROR, usage={"total_tokens": 5})},
            {"error": dict(BUSY_ERROR, choices=[])},
            {"error": BUSY_ERROR, "message": {"content": "Once"}},
        ):
            self.check_asked_once(http_answer(200, document), document)

    def test_an_error_that_an_event_stream_reports_is_not_sent_again(self):
        for data in (
            {"error": BUSY_ERROR},
            event({"error": BUSY_ERROR}, event="error"),
        ):
            self.check_asked_once(sse(data), data)

    def test_an_error_that_was_cut_off_is_not_sent_again(self):
        busy = http_answer(200, {"error": BUSY_ERROR}, Content_Length=999)
        self.check_asked_once([busy, CLOSE], "a document")

    def check_asked_once(self, answer, what):
        server = self.serve(answer, ANSWER)
        with self.subTest(what):
            with self.assertRaises(SirayaError):
                self.client(server).complete("hi")
            self.assertEqual(len(server.requests), 1)

    def test_an_error_beside_an_answer_that_is_empty_is_no_error(self):
        for nothing in (None, {}, "", [], False):
            with self.subTest(nothing):
                made = self.whole(dict(completion("x"), error=nothing))
                self.assertEqual(made.text, "x")
                made = self.streamed(dict(ONCE, error=nothing))
                self.assertEqual(made.text, "Once")

    def test_an_answer_with_fields_that_errors_have_is_no_error(self):
        fields = {"code": 0, "message": "success", "detail": "none"}
        self.assertEqual(self.whole(dict(completion("x"), **fields)).text, "x")
        self.assertEqual(self.streamed(dict(ONCE, **fields)).text, "Once")

    def test_the_first_bytes_of_a_body_say_what_it_is(self):
        for what, content_type, body in REAL_LABELS:
            client = self.answers(labelled(body, content_type))
            for name, call in self.both(client):
                with self.subTest(what, call=name):
                    made = call()
                    self.assertEqual(made.text, "Once upon")
                    self.assertEqual(made.finish_reason, "stop")

    def test_the_first_bytes_say_so_however_they_are_cut(self):
        for what, content_type, body in REAL_LABELS:
            head = SSE_HEAD.replace(b"text/event-stream", content_type.encode())
            pieces = [framed(b"%c" % byte) for byte in body.encode()]
            client = self.answers(head + b"".join(pieces) + LAST)
            for name, call in self.both(client):
                with self.subTest(what, call=name):
                    self.assertEqual(call().text, "Once upon")

    def test_a_last_event_without_its_blank_line_is_taken_if_the_body_is_whole(self):
        for what, last in UNENDED:
            with self.subTest(what):
                client = self.answers(sse(ONCE, UPON, last))
                made = client.stream("hi").get_final_completion()
                self.assertEqual((made.text, made.finish_reason), ("Once upon", "stop"))

    def test_a_last_event_that_does_not_parse_is_the_errors_body(self):
        for last in ('data: {"choices": [{"ind', 'data: {"id": "c1"'):
            with self.subTest(last):
                client = self.answers(sse(ONCE, last.encode()))
                stream = client.stream("hi")
                error = self.refused(StreamError, [], stream.get_final_completion)
                self.assertEqual(error.body, last[len("data: ") :])
                self.assertEqual(error.partial.text, "Once")

    def test_heartbeats_are_skipped(self):
        for what, beat in REAL_HEARTBEATS:
            with self.subTest(what):
                parts = [beat, ONCE, beat, beat, UPON, beat, END, beat, "[DONE]"]
                with self.answers(sse(*parts)).stream("hi") as stream:
                    self.assertEqual(list(stream), [ONCE, UPON, END])

    def test_chunks_without_choices_are_given_to_the_caller(self):
        for other in REAL_OTHER_CHUNKS:
            with self.subTest(other):
                client = self.answers(sse(other, ONCE, END, other, "[DONE]"))
                with client.stream("hi") as stream:
                    chunks = list(stream)
                self.assertEqual(chunks, [other, ONCE, END, other])
                self.assertEqual(stream.get_final_completion().text, "Once")

    def test_the_choices_of_a_chunk_without_choices_read_as_an_empty_list(self):
        for other in REAL_OTHER_CHUNKS:
            with self.subTest(other):
                client = self.answers(sse(ONCE, other, END, "[DONE]"))
                with client.stream("hi") as stream:
                    self.assertEqual(list(stream)[1].choices, [])


def half_rest(message):
    """A message's fields but its content."""
    return {name: value for name, value in message.items() if name != "content"}


# Messages of answers as a server gives them, and as they go back; None: unchanged.
GOING_BACK = (
    ({"role": "assistant", "content": "Hi"}, None),
    ({"role": "assistant", "content": None, "tool_calls": [CALL]}, None),
    ({"role": "assistant", "content": [THOUGHT, TWO_THINGS[0]]}, None),
    ({"role": "model", "content": "Hi"}, None),
    (
        {
            "role": "assistant",
            "content": "Hi",
            "reasoning_details": [{"type": ENCRYPTED}],
            "reasoning": "I see",
            "reasoning_content": "I see",
        },
        None,
    ),
    ({"role": "assistant", "content": "Hi", "odd": [1, {"a": [None, 1.5]}]}, None),
    (
        {"role": "assistant", "content": "", "refusal": None, "annotations": []},
        {"role": "assistant", "content": ""},
    ),
    (
        {"role": "assistant", "content": "Hi", "tool_calls": [], "audio": None},
        {"role": "assistant", "content": "Hi"},
    ),
    (
        {"role": "assistant", "content": "Hi", "annotations": [{"type": "x"}]},
        {"role": "assistant", "content": "Hi"},
    ),
    (
        {"role": "assistant", "content": "{}", "parsed": {}},
        {"role": "assistant", "content": "{}"},
    ),
    (
        {"role": "assistant", "content": None, "refusal": "I can not"},
        {"role": "assistant", "refusal": "I can not"},
    ),
    (
        {"role": "assistant", "content": None, "audio": {"id": "au", "data": "AAAA"}},
        {"role": "assistant", "audio": {"id": "au"}},
    ),
    ({"content": "Hi"}, {"role": "assistant", "content": "Hi"}),
    ({"role": None, "content": "Hi"}, {"role": "assistant", "content": "Hi"}),
    ({"role": 5, "content": "Hi"}, {"role": "assistant", "content": "Hi"}),
    (
        {"role": "assistant", "content": "a\ud83d", "reasoning": "\ude00"},
        {"role": "assistant", "content": "a\ufffd", "reasoning": "\ufffd"},
    ),
    (
        {"role": "assistant", "content": ["", "x", {"text": "y"}]},
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "x"},
                {"type": "text", "text": "y"},
            ],
        },
    ),
    ({"role": "assistant", "content": 7}, {"role": "assistant"}),
    (
        {"role": "assistant", "content": {"text": "x"}},
        {"role": "assistant", "content": '{"text": "x"}'},
    ),
    ({"role": "assistant"}, {"role": "assistant"}),
    ({}, {"role": "assistant"}),
)


class AnswersThatGoBack(Test):
    def sent_back(self, streamed, answer):
        """The message of this answer, and what arrives of it with the next call."""
        server = self.serve(answer, ANSWER)
        client = self.client(server)
        message = ask(client, streamed).message
        client.complete([user("hi"), message, user("go on")])
        return message, server.requests[1].json["messages"][1]

    def test_a_message_of_any_answer_goes_back_as_a_strict_server_takes_it(self):
        for message, expected in GOING_BACK:
            body = completion("x")
            body["choices"][0]["message"] = message
            delta = with_choice(delta=message)
            for streamed, answer in (
                (False, http_answer(200, body)),
                (True, sse(delta, END, "[DONE]")),
            ):
                with self.subTest(message, streamed=streamed):
                    _, sent = self.sent_back(streamed, answer)
                    self.assertEqual(sent, expected or message)

    def test_the_message_itself_stays_as_it_came(self):
        for message, _ in GOING_BACK:
            with self.subTest(message):
                body = completion("x")
                body["choices"][0]["message"] = message
                kept = copy.deepcopy(objects(body).choices[0].message)
                before = copy.deepcopy(kept)
                if kept.role == "assistant" and kept.content != 7:
                    with contextlib.suppress(ValueError, TypeError):
                        build_request([user("hi"), kept], "m")
                self.assertEqual(kept, before)

    def test_only_assistants_messages_are_changed(self):
        tool = {"role": "tool", "tool_call_id": "c1", "content": "x", "odd": None}
        person = {"role": "user", "content": "hi", "name": None, "annotations": []}
        self.assertEqual(build_request([person, tool], "m")["messages"], [person, tool])

    def test_a_message_of_an_answer_that_was_cut_off_is_accepted_too(self):
        server = self.serve([*BROKEN], ANSWER)
        client = self.client(server, max_retries=0)
        stream = client.stream("hi")
        error = self.refused(StreamError, [], stream.get_final_completion)
        client.complete([user("hi"), error.partial.message, user("go on")])
        sent = server.requests[1].json["messages"][1]
        self.assertEqual(sent, {"role": "assistant", "content": "Once upon"})

    def test_a_call_without_arguments_goes_back_with_an_empty_object(self):
        for arguments in ("", None):
            delta = calling(with_arguments(0, "a", arguments))
            with self.subTest(arguments):
                _, sent = self.sent_back(True, sse(delta, END, "[DONE]"))
                self.assertEqual(sent["tool_calls"][0]["function"]["arguments"], "{}")


PASSING_PARAMS = (  # a parameter of a request, a value that passes as it is
    ("tools", [{"type": "web_search"}]),
    ("tools", [{"type": "web_search_preview", "search_context_size": "low"}]),
    ("tools", [{"type": "custom", "custom": {"name": "grammar"}}, TOOL]),
    ("tools", [{"type": "mcp", "server_url": "https://example.com", "function": 5}]),
    ("tools", [{"function": {"name": "f"}}]),
    ("tools", [{"googleSearch": {}}]),
    ("tools", [{"name": "f", "input_schema": {"type": "object"}}]),
    ("tools", []),
    ("tool_choice", {"type": "custom", "custom": {"name": "grammar"}}),
    ("tool_choice", {"type": "allowed_tools", "allowed_tools": {"mode": "auto"}}),
    ("tool_choice", {"type": "web_search"}),
    ("tool_choice", {"mode": "auto"}),
    ("tool_choice", {"function": {"name": "f"}}),
    ("tool_choice", {"type": "function", "function": {"name": "f"}}),
    ("tool_choice", "required"),
    ("response_format", {"type": "json_object"}),
    ("response_format", {"type": "grammar", "grammar": "root ::= x"}),
    ("response_format", {"type": "regex", "pattern": "[a-z]+"}),
    ("response_format", {"type": "text"}),
    ("provider", {"sort": "price"}),
    ("provider", {"sort": "quality"}),
    ("provider", {"sort": {"by": "price", "partition": "none"}}),
    ("provider", {"sort": 5}),
    ("provider", {"only": ["a"], "max_price": {"prompt": 1}}),
    ("stop", []),
    ("stop", "\n"),
    ("odd", {"any": [1, None, {"json": True}]}),
)
PASSING_MESSAGES = (  # of any role, with any part that has a type
    {"role": "system", "content": "x"},
    {"role": "developer", "content": "x"},
    {"role": "critic", "content": "x"},
    {"role": "function", "name": "f", "content": None},
    {"role": "model", "content": "x"},
    {"role": "tool", "tool_call_id": "c1", "content": [HI_PART]},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "assistant", "tool_calls": [CALL]},
    {"role": "user", "content": [{"type": "new_kind", "new_kind": 5}]},
    {"role": "user", "content": [dict(HI_PART, cache_control={"type": "ephemeral"})]},
    {"role": "user", "content": "x", "name": "Ann", "odd": [1]},
)
REFUSED_PARAMS = (  # error, a parameter, its value, words
    (TypeError, "tools", {"type": "function"}, ["tools"]),
    (TypeError, "tools", "f", ["tools", "'f'"]),
    (TypeError, "tools", ["f"], ["tools[0]", "'f'"]),
    (TypeError, "tools", [TOOL, 5], ["tools[1]", "5"]),
    (ValueError, "tools", [{"type": "function"}], ["tools[0]", "function"]),
    (EITHER, "tools", [{"type": "function", "function": {}}], ["tools[0]", "name"]),
    (EITHER, "tools", [{"function": {"name": 5}}], ["tools[0]", "name", "5"]),
    (TypeError, "tools", [{"type": 5}], ["tools[0]", "type", "5"]),
    (ValueError, "tool_choice", "always", ["tool_choice", "'always'", "'auto'"]),
    (ValueError, "tool_choice", "", ["tool_choice", "''"]),
    (TypeError, "tool_choice", 5, ["tool_choice", "5"]),
    (TypeError, "tool_choice", ["auto"], ["tool_choice", "auto"]),
    (EITHER, "tool_choice", {"type": "function"}, ["tool_choice", "function"]),
    (TypeError, "response_format", "json", ["response_format", "'json'"]),
    (TypeError, "response_format", "json_object", ["response_format"]),
    (TypeError, "response_format", [], ["response_format", "[]"]),
    (EITHER, "response_format", {"type": 5}, ["response_format", "type", "5"]),
    (EITHER, "response_format", {"type": "json_schema"}, ["json_schema"]),
    (TypeError, "stop", 5, ["stop", "5"]),
    (TypeError, "stop", ["a", 5], ["stop[1]", "5"]),
    (TypeError, "stop", {"a": 1}, ["stop", "a"]),
    (TypeError, "provider", "price", ["provider", "'price'"]),
    (TypeError, "provider", {"allow_fallbacks": "no"}, ["allow_fallbacks", "'no'"]),
    (ValueError, "max_tokens", 0, ["max_tokens", "at least 1", "0"]),
    (ValueError, "max_tokens", -5, ["max_tokens", "at least 1", "-5"]),
    (TypeError, "max_tokens", 1.5, ["max_tokens", "integer", "1.5"]),
    (TypeError, "max_tokens", "100", ["max_tokens", "integer", "'100'"]),
    (TypeError, "max_tokens", True, ["max_tokens", "True"]),
    (ValueError, "temperature", 2.1, ["temperature", "0 to 2", "2.1"]),
    (TypeError, "temperature", "0.5", ["temperature", "'0.5'"]),
    (ValueError, "top_p", -0.1, ["top_p", "0 to 1", "-0.1"]),
    (ValueError, "presence_penalty", 3, ["presence_penalty", "-2 to 2", "3"]),
    (TypeError, "odd", {1, 2}, ["odd", "JSON"]),
    (ValueError, "odd", [math.inf], ["odd[0]", "inf"]),
)
REFUSED_CONVERSATIONS = (  # error, messages, words
    (TypeError, {"role": "user", "content": "x"}, ["messages", "list", "[message]"]),
    (TypeError, user("x"), ["messages", "list"]),
    (TypeError, 5, ["messages", "5"]),
    (TypeError, None, ["messages", "None"]),
    (TypeError, ["x"], ["messages[0]", "'x'"]),
    (ValueError, [], ["messages", "empty"]),
    (EITHER, [{"content": "x"}], ["messages[0]", "role"]),
    (EITHER, [{"role": 5, "content": "x"}], ["messages[0]", "role", "5"]),
    (EITHER, [{"role": "", "content": "x"}], ["messages[0]", "role"]),
    (EITHER, [{"role": "user"}], ["messages[0]", "content"]),
    (EITHER, [{"role": "user", "content": 5}], ["messages[0]", "content", "5"]),
    (EITHER, [{"role": "user", "content": [{}]}], ["content[0]", "type"]),
    (EITHER, [{"role": "user", "content": ["x"]}], ["content[0]", "'x'"]),
    (ValueError, "half a \ud83d", ["messages", "surrogate"]),
)
WAYS_TO_NAME_A_MODEL = ["model=", "Client(model=", "SIRAYA_MODEL"]
TO_HELPERS = ["image(", "attach("]


class RequestsThatPass(Test):
    def test_what_the_page_does_not_know_passes_as_it_is(self):
        for name, value in PASSING_PARAMS:
            with self.subTest(name, value=value):
                made = build_request("hi", "m", **{name: value})
                self.assertEqual(made[name], value)

    def test_messages_of_any_role_and_any_part_pass_as_they_are(self):
        for message in PASSING_MESSAGES:
            with self.subTest(message):
                messages = [user("hi"), message]
                self.assertEqual(build_request(messages, "m")["messages"], messages)

    def test_mistakes_that_can_be_told_are_caught_before_sending(self):
        server = self.serve()
        client = self.client(server)
        for error, name, value, words in REFUSED_PARAMS:
            with self.subTest(name, value=value):
                params = {name: value}
                self.refused(error, words, build_request, "hi", "m", **params)
                self.refused(error, words, client.complete, "hi", **params)
                self.refused(error, words, client.stream, "hi", **params)
        self.assertFalse(server.requests)

    def test_mistakes_in_messages_are_caught_before_sending(self):
        server = self.serve()
        client = self.client(server)
        for error, messages, words in REFUSED_CONVERSATIONS:
            with self.subTest(messages):
                self.refused(error, words, build_request, messages, "m")
                self.refused(error, words, client.complete, messages)
        self.assertFalse(server.requests)

    def test_a_missing_model_says_how_to_give_one(self):
        client = self.client(self.serve(), model=None)
        for model in (None, ""):
            for function in (build_request, client.complete, client.stream):
                with self.subTest(model, function=function.__name__):
                    words = WAYS_TO_NAME_A_MODEL
                    self.refused(ValueError, words, function, "hi", model)

    def test_a_path_or_bytes_in_user_points_to_the_helpers(self):
        for part in (pathlib.Path("cat.png"), PNG, bytearray(PNG), memoryview(PNG)):
            for parts in ((part,), ("What is this?", part)):
                with self.subTest(type(part).__name__, count=len(parts)):
                    self.refused(TypeError, TO_HELPERS, user, *parts)

    def test_stream_as_an_argument_of_complete_points_to_stream(self):
        server = self.serve()
        client = self.client(server)
        self.refused(EITHER, ["stream()"], client.complete, "hi", stream=True)
        self.assertFalse(server.requests)


M4A_BRANDS = (b"M4A ", b"M4B ", b"isom", b"mp42", b"iso2", b"dash", b"3gp4", b"qt  ")
SPACED = ("\n", "\r\n", " ", "\t", "\n  ")
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"/>'
MISLABELLED = (  # what a data: URL says, its content, the helper, the type it is
    ("image/png", OF_KIND[image][0].replace(b"\x89PNG\r\n\x1a\n", b"GIF89a"), "gif"),
    ("image/jpeg", PNG, "png"),
    ("image/svg+xml", PNG, "png"),
    ("application/octet-stream", PNG, "png"),
    ("text/plain", PNG, "png"),
    ("", PNG, "png"),
)
TEXTS_LIKE_OTHERS = (  # what, bytes that are text whatever a signature may say
    ("mdat", b"abcdmdat: the atom of media data"),
    ("moov", b"    moov\nwide\nfree\n"),
    ("ftyp", b"this ftyp is a word"),
    ("ID3", b"ID3 is a format of tags"),
    ("RIFF", b"RIFF is a container, WAVE one of its forms"),
    ("GIF", b"GIF 89a"),
    ("a NUL is none", "Gr\u00fc\u00dfe".encode()),
    ("free", b"123 free beer"),
)
WIDE = "Gr\u00fc\u00dfe, \u6771\u4eac \U0001f600\n"
NOT_TEXT = (  # what, bytes that are no text in UTF-8
    ("Latin-1", "Gr\u00fc\u00dfe".encode("latin-1")),
    ("Windows 1252", b"\x93quoted\x94"),
    ("Shift JIS", "\u6771\u4eac".encode("shift_jis")),
    ("UTF-16 without a mark", "Hi \u6771".encode("utf-16-le")),
    ("UTF-16 that is cut", "Hi".encode("utf-16")[:-1]),
    ("half a surrogate pair", b"a\xed\xa0\xbd"),
)
NASTY = "a\x1b[2J\n\u202eb\u2028.bin"


class SourcesAsPeopleHaveThem(Test):
    def test_image_jpg_is_jpeg(self):
        content = b"\xff\xd8\xff\xe0\0\x10JFIF\0"
        written = expected_part(image, content, "image/jpeg", "")
        for label in ("image/jpg", "IMAGE/JPG", "image/pjpeg", "image/jpeg"):
            url = data_url(label, content)
            with self.subTest(label):
                self.assertEqual(image(url), written)
                self.assertEqual(attach(url), written)
                self.assertEqual(image(content, media_type=label), written)

    def test_image_jpg_is_jpeg_where_the_bytes_do_not_tell(self):
        written = expected_part(image, b"\1\2\3", "image/jpeg", "")
        self.assertEqual(image(data_url("image/jpg", b"\1\2\3")), written)
        self.assertEqual(image(b"\1\2\3", media_type="image/jpg"), written)

    def test_white_space_in_base64_is_dropped(self):
        for helper, (content, media_type) in OF_KIND.items():
            data = text64(content)
            for space in SPACED:
                lines = [data[at : at + 76] for at in range(0, len(data), 76)]
                url = "data:%s;base64,%s" % (media_type, space.join([*lines, ""]))
                with self.subTest(helper=helper.__name__, space=space):
                    written = expected_part(helper, content, media_type, UNNAMED)
                    self.assertEqual(helper(url), written)
                    self.assertEqual(attach(url), written)

    def test_other_characters_in_base64_are_refused(self):
        for data in ("AA!A", "AAAA=A", "A", "AAA", "AA_-"):
            url = "data:image/png;base64," + data
            with self.subTest(data):
                self.refused(ValueError, ["image", "data:"], image, url)

    def test_a_data_urls_label_that_contradicts_its_bytes_is_corrected(self):
        for label, content, subtype in MISLABELLED:
            url = data_url(label, content)
            written = expected_part(image, content, "image/" + subtype, "")
            with self.subTest(label):
                self.assertEqual(image(url), written)
                self.assertEqual(attach(url), written)

    def test_a_pdf_that_is_labelled_as_a_picture_is_no_picture(self):
        content, media_type = OF_KIND[pdf]
        url = data_url("image/png", content)
        self.assertEqual(attach(url), expected_part(pdf, content, media_type, UNNAMED))
        self.refused(ValueError, ["application/pdf", "image/png"], image, url)

    def test_a_data_urls_label_may_have_parameters(self):
        url = data_url("image/png;name=a.png", PNG)
        self.assertEqual(image(url), expected_part(image, PNG, "image/png", ""))
        url = data_url("text/plain;charset=utf-8", WIDE.encode())
        self.assertIn(WIDE, attach(url)["text"])

    def test_m4a_of_any_brand_is_audio_and_never_video(self):
        for brand in M4A_BRANDS:
            content = b"\0\0\0\x20ftyp" + brand + b"\0\0\2\0" + REST
            path = self.file("speech.m4a", content)
            url = data_url("audio/mp4", content)
            for helper in (attach, audio, video):
                for source in (path, url, data_url("audio/x-m4a", content)):
                    with self.subTest(brand, helper=helper.__name__, source=source[:9]):
                        words = ["audio/mp4", helper.__name__]
                        self.refused(ValueError, words, helper, source)

    def test_m4a_is_refused_with_what_audio_takes(self):
        path = self.file("speech.m4a", b"\0\0\0\x20ftypisom\0\0\2\0" + REST)
        words = ["speech.m4a", "audio/wav", "audio/mpeg"]
        for helper in (attach, audio):
            with self.subTest(helper=helper.__name__):
                self.refused(ValueError, words, helper, path)

    def test_a_text_is_text_whatever_words_are_in_it(self):
        for what, content in TEXTS_LIKE_OTHERS:
            for source in (
                content,
                self.file("notes.txt", content),
                self.file("notes", content),
                data_url("text/plain", content),
            ):
                with self.subTest(what, source=str(source)[:12]):
                    self.assertIn(content.decode(), attach(source)["text"])

    def test_utf_16_with_a_byte_order_mark_is_decoded(self):
        for name in ("utf-16-le", "utf-16-be"):
            content = ("\ufeff" + WIDE).encode(name)
            for source in (content, self.file("a.txt", content)):
                with self.subTest(name, source=type(source).__name__):
                    text = attach(source)["text"]
                    self.assertIn("\n" + WIDE + "\n", text)
                    self.assertNotIn("\ufeff", text)

    def test_the_byte_order_mark_of_utf_8_is_dropped(self):
        text = attach(("\ufeff" + WIDE).encode())["text"]
        self.assertIn("\n" + WIDE + "\n", text)
        self.assertNotIn("\ufeff", text)

    def test_other_encodings_are_refused_as_not_utf_8_text(self):
        for what, content in NOT_TEXT:
            for source in (content, self.file("a.txt", content)):
                with self.subTest(what, source=type(source).__name__):
                    self.refused(ValueError, ["not UTF-8 text"], attach, source)

    def test_an_empty_text_file_is_a_text_part_that_names_it(self):
        for name in ("empty.txt", "__init__.py", "py.typed", "empty.md"):
            with self.subTest(name):
                part = attach(self.file(name, b""))
                self.assertEqual(part["type"], "text")
                self.assertIn(name, part["text"])

    def test_an_empty_file_of_another_kind_is_refused_as_empty(self):
        for name in ("a.png", "a.pdf", "a.mp3", "a.mp4"):
            with self.subTest(name):
                path = self.file(name, b"")
                self.refused(ValueError, [name, "empty"], attach, path)

    @unittest.skipUnless(sys.platform == "linux", "needs names of any bytes")
    def test_a_name_that_is_no_utf_8_gets_replacement_characters(self):
        for content in (b"some words", OF_KIND[pdf][0]):
            path = os.path.join(os.fsencode(self.folder), b"gr\xfcn.txt")
            with open(path, "wb") as file:
                file.write(content)
            with open(path, "rb") as file:
                for source in (
                    os.fsdecode(path),
                    pathlib.Path(os.fsdecode(path)),
                    file,
                ):
                    with self.subTest(content[:4], source=type(source).__name__):
                        made = json.dumps(attach(source), ensure_ascii=False)
                        self.assertIn("gr\ufffdn.txt", made)
                        build_request([user(attach(source))], "m")

    @unittest.skipIf(sys.platform == "win32", "needs names of any characters")
    def test_names_in_errors_are_printable(self):
        path = self.file(NASTY, BARE_BYTES)
        for helper in (attach, image, pdf, audio, video):
            with self.subTest(helper=helper.__name__):  # `refused` looks at the rest
                self.refused(ValueError, ["a", "b", ".bin"], helper, path)

    def test_types_in_errors_are_printable(self):
        for label in ("x/\x1b[2J\x07", "x/\u202egnp", "\u2028/y", "x/\x9b2J"):
            url = data_url(label, b"\1\2\3\xff")
            for helper in (attach, image, pdf, audio, video):
                with self.subTest(label, helper=helper.__name__):
                    try:
                        helper(url)
                    except ValueError as error:
                        self.assertTrue(str(error).isprintable(), repr(str(error)))

    def test_a_folders_name_in_an_error_is_printable(self):
        folder = os.path.join(self.folder, "x\x1b[2J")
        os.mkdir(folder)
        self.refused(ValueError, ["directory"], attach, folder)


TOOL_RESULTS = (  # a tool's result, the content that is sent
    ("", ""),
    ("42", "42"),
    ('{"a": 1}', '{"a": 1}'),
    (None, "null"),
    (True, "true"),
    (42, "42"),
    (1.5, "1.5"),
    ({}, "{}"),
    ([{"type": "bus", "line": 4}], '[{"type": "bus", "line": 4}]'),
    ({"city": "Z\u00fcrich"}, '{"city": "Z\u00fcrich"}'),
    ([], "[]"),
    ([1, 2], "[1, 2]"),
    ((1, 2), "[1, 2]"),
    (["a", "b"], '["a", "b"]'),
    ([{"id": 1}, {"id": 2}], '[{"id": 1}, {"id": 2}]'),
    ([HI_PART], [HI_PART]),
    ([HI_PART, PICTURE], [HI_PART, PICTURE]),
    ([HI_PART, 5], '[{"type": "text", "text": "Hi"}, 5]'),
)
NO_TOOL_RESULTS = (  # error, a value that JSON can not hold, words
    (TypeError, {1, 2}, ["content", "JSON"]),
    (TypeError, object, ["content", "JSON"]),
    (TypeError, {"a": b"x"}, ["content.a", "b'x'"]),
    (ValueError, math.nan, ["content", "nan"]),
    (ValueError, [math.inf], ["content[0]", "inf"]),
    (ValueError, {"a": "\ud83d"}, ["content.a", "surrogate"]),
)


class ToolResults(Test):
    def test_a_result_may_be_any_json_value(self):
        for value, content in TOOL_RESULTS:
            with self.subTest(value):
                message = tool_result("c1", value)
                written = {"role": "tool", "tool_call_id": "c1", "content": content}
                self.assertEqual(message, written)
                messages = [user("hi"), message]
                self.assertEqual(build_request(messages, "m")["messages"], messages)

    def test_a_result_that_is_an_answers_object_is_sent_as_json(self):
        message = tool_result("c1", objects({"a": [{"b": 1}]}))
        self.assertEqual(message["content"], '{"a": [{"b": 1}]}')

    def test_a_result_that_json_can_not_hold_is_named(self):
        for error, value, words in NO_TOOL_RESULTS:
            with self.subTest(repr(value)):
                self.refused(error, words, tool_result, "c1", value)

    def test_a_result_that_contains_itself_is_refused(self):
        value = []
        value.append(value)
        self.refused(ValueError, ["itself"], tool_result, "c1", value)


FENCED = (  # a text, the value of json()
    ('{"a": 1}', {"a": 1}),
    ('```json\n{"a": 1}\n```', {"a": 1}),
    ('```\n{"a": 1}\n```', {"a": 1}),
    ('```JSON\n{"a": 1}\n```', {"a": 1}),
    ('```json\r\n{"a": 1}\r\n```\r\n', {"a": 1}),
    ("\n ```json\n[1]\n``` \n", [1]),
    ("``` json\n[1]\n```", [1]),
    ("```json\n[1]```", [1]),
    ('```json\n"```"\n```', "```"),
    ('"```"', "```"),
    ('{"code": "```py\\n1\\n```"}', {"code": "```py\n1\n```"}),
    ("```json\n42\n```", 42),
    ("~~~json\n42\n~~~", 42),
    ("````json\n42\n````", 42),
)
NO_JSON = (  # a text, fields of its choice, words of the error
    ('{"a": ', {"finish_reason": "length"}, ["cut"]),
    ('{"a": ', {"finish_reason": "content_filter"}, ["filter"]),
    ("", {"finish_reason": "content_filter"}, ["filter"]),
    (None, {"refusal": "I can not help"}, ["refused", "I can not help"]),
    ("", {"refusal": "no\n\x1b[2Jway"}, ["refused", "way"]),
    ("hello", {}, ["hello"]),
    ("", {}, []),
    ("```json\n```", {}, []),
    ("```json\n{}\n``` and more", {}, ["more"]),
    ('```json\n{"a": ', {"finish_reason": "length"}, ["cut"]),
)


class JSONOfAnswers(Test):
    def test_a_markdown_fence_around_json_is_taken_off(self):
        for text, value in FENCED:
            with self.subTest(text):
                made = Completion(objects(completion(text)))
                self.assertEqual(made.json(), value)

    def test_json_says_why_there_is_none(self):
        for text, fields, words in NO_JSON:
            with self.subTest(text, **fields):
                made = Completion(objects(completion(text, **fields)))
                error = self.refused(ResponseError, words, made.json)
                self.assertEqual(error.body, text or "")

    def test_a_text_in_parts_is_parsed_as_one(self):
        parts = [{"type": "text", "text": '{"a"'}, {"type": "text", "text": ": 1}"}]
        self.assertEqual(Completion(objects(completion(parts))).json(), {"a": 1})

    def test_json_that_was_cut_but_parses_is_given(self):
        made = Completion(objects(completion("42", "length")))
        self.assertEqual(made.json(), 42)


# === transport ========================================================================


def sse_head(coding):
    """The head of a streamed answer in this coding."""
    return SSE_HEAD[:-2] + b"Content-Encoding: %s\r\n\r\n" % coding.encode()


def json_answer(body, **headers):
    """A whole answer that says to be JSON, whatever it is."""
    return http_answer(200, body, Content_Type="application/json", **headers)


class Decoding(Test):
    def test_chunks_reach_the_caller_as_they_arrive(self):
        once, upon, end = event(ONCE), event(UPON), event(END) + event("[DONE]")
        rest = framed(upon) + framed(end) + LAST
        halves = framed(b": wait\n\n" + once[:30]) + framed(once[30:])
        self.check_arrival("chunked", SSE_HEAD, framed(once), rest)
        self.check_arrival("an event in two chunks", SSE_HEAD, halves, rest)
        self.check_arrival("until close", sse(chunked=False), once, upon + end)
        for name, coding, wbits in (
            ("gzip", "gzip", 31),
            ("deflate", "deflate", 15),
            ("bare deflate", "deflate", -15),
        ):
            first, *others = map(framed, coded(wbits, once, upon, end))
            rest = b"".join(others) + LAST
            self.check_arrival(name, sse_head(coding), first, rest)

    def check_arrival(self, name, head, first, rest):
        """The first chunk is given while the server still holds the rest back."""
        go_on = threading.Event()
        server = self.serve([head, first, go_on, rest])
        with self.subTest(name), self.client(server).stream("hi") as stream:
            chunks = iter(stream)
            self.assertEqual(next(chunks), ONCE)
            go_on.set()
            self.assertEqual(list(chunks), [UPON, END])

    def test_whole_answers_are_decoded(self):
        text = BODY.encode()
        two_members = gzip.compress(text[:20]) + gzip.compress(text[20:])
        for name, coding, body in (
            ("gzip", "gzip", gzip.compress(text)),
            ("its old name", "x-gzip", gzip.compress(text)),
            ("any case", "GZIP", gzip.compress(text)),
            ("two members", "gzip", two_members),
            ("deflate", "deflate", zlib.compress(text)),
            ("bare deflate", "deflate", coded(-15, text)[0]),
            ("none", "identity", text),
            ("no name", "", text),
        ):
            with self.subTest(name):
                server = self.serve(http_answer(200, body, Content_Encoding=coding))
                self.assertEqual(self.client(server).complete("hi").text, "Once upon")

    def test_a_folded_header_and_one_without_a_name_are_passed_over(self):
        status, rest = ANSWER.split(b"\r\n", 1)
        for odd in (b"X: a\r\n  b", b"X: a\r\n\tContent-Length: 5", b": a"):
            with self.subTest(odd):
                server = self.serve(b"\r\n".join((status, odd, rest)))
                self.assertEqual(self.client(server).complete("hi").text, "Once upon")

    def test_chunks_rule_where_a_length_is_given_too(self):
        head = JSON_HEAD[:-2] + b"Content-Length: 0\r\n\r\n"
        server = self.serve(head + framed(BODY.encode()) + LAST)
        self.assertEqual(self.client(server).complete("hi").text, "Once upon")

    def test_a_compressed_error_is_decoded(self):
        body = gzip.compress(json.dumps(REFUSAL).encode())
        client = self.client(
            self.serve(http_answer(404, body, Content_Encoding="gzip"))
        )
        self.refused(NotFoundError, ["bad model"], client.complete, "hi")

    def test_an_answer_whose_coding_is_cut_short_is_not_taken_for_whole(self):
        for coding, body in (
            ("gzip", gzip.compress(BODY.encode())[:-8]),
            ("deflate", zlib.compress(BODY.encode())[:-4]),
        ):
            client = self.client(self.serve(json_answer(body, Content_Encoding=coding)))
            with self.subTest(coding):
                self.refused(APIConnectionError, [], ask, client, False)
                self.refused(StreamError, [], ask, client, True)

    def test_what_unpacks_before_the_damage_is_not_lost(self):
        whole, events = BODY.encode(), event(ONCE) + event(UPON)
        for coding, pack in (("gzip", gzip.compress), ("deflate", zlib.compress)):
            damaged = [pack(data)[:-4] + b"xxxx" for data in (whole, events)]
            server = self.serve(
                *[json_answer(data, Content_Encoding=coding) for data in damaged]
            )
            client = self.client(server)
            with self.subTest(coding):
                error = self.refused(ResponseError, ["check"], ask, client, False)
                self.assertEqual(error.body, BODY)
                error = self.refused(StreamError, ["check"], ask, client, True)
                self.assertEqual(error.partial.text, "Once upon")

    def test_content_that_is_not_packed_as_its_label_says_is_no_empty_answer(self):
        for coding in ("gzip", "deflate"):
            answer = json_answer(BODY, Content_Encoding=coding)
            with self.subTest(coding):
                call = self.client(self.serve(answer)).complete
                self.refused(ResponseError, ["decompress"], call, "hi")

    def test_a_length_may_be_repeated(self):
        length = b"Content-Length: %d" % len(BODY)
        for twice in (length + b"\r\n" + length, length + b", %d" % len(BODY)):
            server = self.serve(ANSWER.replace(length, twice), ANSWER)
            client = self.client(server)
            with self.subTest(twice):
                for _ in range(2):
                    self.assertEqual(client.complete("hi").text, "Once upon")
                self.assertEqual(server.connections, 1)

    def test_zeros_behind_a_gzip_member_are_padding(self):
        padded = gzip.compress(BODY.encode()) + bytes(100)
        client = self.client(self.serve(json_answer(padded, Content_Encoding="gzip")))
        self.assertEqual(client.complete("hi").text, "Once upon")

    def test_a_flood_of_empty_gzip_members_is_refused(self):
        flood = gzip.compress(b"") * 1001 + gzip.compress(BODY.encode())
        client = self.client(
            self.serve(http_answer(200, flood, Content_Encoding="gzip"))
        )
        self.refused(ResponseError, ["members"], client.complete, "hi")

    def test_as_many_gzip_members_as_are_allowed_are_decoded(self):
        members = gzip.compress(b"") * 999 + gzip.compress(BODY.encode())
        answer = http_answer(200, members, Content_Encoding="gzip")
        self.assertEqual(
            self.client(self.serve(answer)).complete("hi").text, "Once upon"
        )

    def test_what_expands_without_end_is_stopped_early(self):
        self.limit(MAX_ANSWER_BYTES=1 << 20)
        bomb = gzip.compress(b" " * (24 << 20))
        for streamed, kind, error in (
            (False, "application/json", ResponseError),
            (True, "text/event-stream", StreamError),
        ):
            headers = {"Content_Type": kind, "Content_Encoding": "gzip"}
            client = self.client(self.serve(http_answer(200, bomb, **headers)))
            call = functools.partial(self.refused, error, [], ask, client, streamed)
            with self.subTest(streamed=streamed):
                peak, _ = memory(call)
                self.assertLess(peak, 8 << 20)


NO_FAMILY = 999  # of addresses


class Timeouts(Test):
    def test_each_timeout_says_which_it_is(self):
        def check(name, scheme, script, greeting):
            server = self.serve(script, greeting=greeting)
            url = server.base_url.replace("http", scheme)
            client = self.client(url, max_retries=0, **{name: 0.1})
            for _, call in self.both(client):
                with self.assertRaisesRegex(APITimeoutError, r"\W%s\b" % name):
                    call()

        rows = (
            ("timeout", "http", [SILENCE], ()),
            ("timeout", "http", [b"HTTP/1.1 100 Continue\r\n\r\n", SILENCE], ()),
            ("connect_timeout", "https", [], [SILENCE]),
        )
        self.side_by_side(check, rows)

    @unittest.skipUnless(
        sys.platform == "linux",
        "needs a listener that drops connections when its queue is full",
    )
    def test_a_host_that_never_answers_takes_no_longer_than_connect_timeout(self):
        with contextlib.ExitStack() as stack:
            listener = stack.enter_context(socket.socket())
            listener.bind(("127.0.0.1", 0))
            listener.listen(0)
            for _ in range(4):  # fill the queue: from now on nothing is answered
                filler = stack.enter_context(socket.socket())
                filler.setblocking(False)
                filler.connect_ex(listener.getsockname())
            before = time.monotonic()
            url = "http://127.0.0.1:%d/v1" % listener.getsockname()[1]
            client = self.client(url, connect_timeout=0.2, max_retries=0)
            with self.assertRaisesRegex(APITimeoutError, "connect_timeout"):
                client.complete("hi")
            self.assertLess(time.monotonic() - before, 10)

    def test_every_address_of_a_host_is_tried(self):
        server = self.serve()
        client = self.client(server, max_retries=0)
        with unused_port() as port, names_resolve_to(port, server.port):
            self.assertIn("model m", client.complete("hi").text)

    def test_an_address_of_a_family_that_the_system_lacks_is_passed_over(self):
        with self.assertRaises(OSError):
            socket.socket(NO_FAMILY, socket.SOCK_STREAM)
        server = self.serve()
        client = self.client(server, max_retries=0)
        with names_resolve_to(server.port, families=[NO_FAMILY] * 2):
            self.assertIn("model m", client.complete("hi").text)

    def test_a_host_with_no_address_that_the_system_can_use_is_not_connected(self):
        client = self.client("https://service.example/v1", max_retries=0)
        with names_resolve_to(families=[NO_FAMILY]):
            words = ["no connection to service.example"]
            self.refused(APIConnectionError, words, client.complete, "hi")

    def test_timeout_is_silence_between_bytes_not_the_whole_time(self):
        steps = [ANSWER[:-40]]
        for byte in ANSWER[-40:]:
            steps += [b"%c" % byte, 0.015]
        client = self.client(self.serve(steps), timeout=0.5)
        self.assertEqual(client.complete("hi").text, "Once upon")

    def test_none_waits_for_as_long_as_it_takes(self):
        server = self.serve([0.05, ANSWER])
        client = self.client(server, timeout=None, connect_timeout=None)
        self.assertEqual(client.complete("hi").text, "Once upon")


CLOSED_BY_HEADER = http_answer(200, completion("x"), Connection="close")
REUSED = (  # what, streamed, the answer, how many connections three calls take
    ("whole", False, ANSWER, 1),
    ("stream", True, STREAM, 1),
    ("JSON for a stream", True, ANSWER, 1),
    ("error", False, http_answer(400, REFUSAL), 1),
    ("error for a stream", True, http_answer(404), 1),
    ("not JSON", False, http_answer(200, "hello"), 1),
    ("chunked whole", False, sse(completion("x")), 1),
    ("Connection: close", False, CLOSED_BY_HEADER, 3),
    ("Connection: close, stream", True, sse(ONCE, "[DONE]", chunked=False), 3),
    ("HTTP/1.0", False, [ANSWER.replace(b"HTTP/1.1", b"HTTP/1.0"), CLOSE], 3),
)
FORKING = """\
import os, sys
from siraya_chat import Client

client = Client(model="m")
stream = client.stream("of the parent")
client.complete("before")
child = os.fork()
if not child:
    client.complete("of the child")
    stream.close()
    del stream
    sys.exit()
assert not os.waitpid(child, 0)[1]
stream.get_final_completion()  # not ended by the child
client.complete("after")
"""


class Reuse(Test):
    def test_a_connection_is_used_again_after_any_answer_that_was_read(self):
        for name, streamed, answer, connections in REUSED:
            with self.subTest(name):
                server = self.serve(answer)
                client = self.client(server)
                for _ in range(3):
                    with contextlib.suppress(SirayaError):
                        ask(client, streamed)
                self.assertEqual(len(server.requests), 3)
                self.assertEqual(server.connections, connections)

    def test_done_that_comes_before_the_last_bytes_does_not_spoil_the_connection(self):
        go_on = threading.Event()
        server = self.serve([STREAM[:-5], go_on, STREAM[-5:]], ANSWER)
        client = self.client(server)
        client.stream("hi").get_final_completion()
        go_on.set()
        self.assertEqual(client.complete("hi").text, "Once upon")
        self.assertEqual(server.connections, 1)

    def test_what_trickles_after_done_does_not_hold_up_the_next_call(self):
        self.limit(DRAIN_SECONDS=0.1)
        done = event(ONCE) + event("[DONE]")
        coder = zlib.compressobj(wbits=-15)
        packed = coder.compress(done) + coder.flush(zlib.Z_SYNC_FLUSH)
        nothing_packed = b"\0\0\0\xff\xff"
        for name, begin, more in (
            ("comments", SSE_HEAD + framed(done), framed(b": more\n")),
            ("a chunk's extension", SSE_HEAD + framed(done) + b"0;", b"a"),
            ("deflate", sse_head("deflate") + framed(packed), framed(nothing_packed)),
        ):
            with self.subTest(name):
                server = self.serve([begin] + [more, 0.02] * 400, ANSWER)
                client = self.client(server)
                client.stream("hi").get_final_completion()
                before = time.monotonic()
                self.assertEqual(client.complete("hi").text, "Once upon")
                self.assertLess(time.monotonic() - before, 5)
                client.close()

    def test_a_connection_that_the_server_has_closed_is_noticed(self):
        for name, steps in (
            ("close", [ANSWER, CLOSE]),
            ("reset", [ANSWER, RESET]),
            ("a farewell", [ANSWER + http_answer(408, "idle for too long"), CLOSE]),
        ):
            with self.subTest(name):
                server = self.serve(steps, ANSWER)
                client = self.client(server, max_retries=0)
                client.complete("hi")
                self.assertTrue(server.wait_closed())
                self.assertEqual(client.complete("hi").text, "Once upon")
                self.assertEqual((len(server.requests), server.connections), (2, 2))

    def test_an_answer_that_no_one_asked_for_is_not_taken_for_the_next(self):
        for surplus in (http_answer(200, completion("forged")), b"x"):
            for streamed, answer in ((False, ANSWER), (True, STREAM)):
                with self.subTest(surplus[:8], streamed=streamed):
                    server = self.serve(answer + surplus, ANSWER)
                    client = self.client(server)
                    for _ in range(2):
                        self.assertEqual(ask(client, streamed).text, "Once upon")
                    self.assertEqual(server.connections, 2)

    def test_a_connection_idle_for_long_is_not_used(self):
        self.limit(MAX_IDLE_SECONDS=0.0)
        server = self.serve(ANSWER)
        client = self.client(server)
        client.complete("hi")
        client.complete("hi")
        self.assertEqual(server.connections, 2)

    def test_no_more_than_a_bounded_number_is_kept(self):
        self.limit(MAX_IDLE_CONNECTIONS=2)
        go_on = threading.Event()
        server = self.serve([SSE_HEAD, go_on, STREAM[len(SSE_HEAD) :]])
        client = self.client(server)
        streams = [client.stream("hi") for _ in range(5)]
        go_on.set()
        for stream in streams:
            stream.get_final_completion()
        self.assertTrue(server.wait(lambda: len(server.closed) == 3))
        client.stream("hi").get_final_completion()
        self.assertEqual(server.connections, 5)

    def test_close_ends_the_connection_of_a_failure_that_somebody_holds(self):
        server = self.serve(http_answer(401, "no"))
        client = self.client(server)
        try:  # assertRaises() would clear what the traceback holds
            client.complete("hi")
        except APIStatusError as error:
            client.close()
            self.assertTrue(server.wait_closed(), error)

    def test_close_ends_the_idle_connections_and_the_client_still_works(self):
        server = self.serve(ANSWER)
        client = self.client(server)
        client.complete("hi")
        client.close()
        self.assertTrue(server.wait_closed())
        self.assertEqual(client.complete("hi").text, "Once upon")

    def test_leaving_a_with_block_closes_the_client(self):
        server = self.serve(ANSWER)
        with self.client(server) as client:
            client.complete("hi")
        self.assertTrue(server.wait_closed())

    def test_a_dropped_client_leaves_no_connection_open(self):
        server = self.serve(ANSWER)
        client = Client(KEY, server.base_url, model="m")
        client.complete("hi")
        del client
        gc.collect()
        self.assertTrue(server.wait_closed())

    def test_clients_pickle_with_their_settings_and_without_their_connections(self):
        server = self.serve()
        client = self.client(server, model="m", headers={"X-Tag": "a"})
        client.complete("hi")
        twin = pickle.loads(pickle.dumps(client))
        self.addCleanup(twin.close)
        self.assertIn("model m", twin.complete("hi").text)
        self.assertEqual(server.connections, 2)
        self.assertEqual(server.requests[1].headers["authorization"], "Bearer " + KEY)
        self.assertEqual(server.requests[1].headers["x-tag"], "a")

    def test_the_limits_of_a_client_are_pickled_too(self):
        client = self.client(self.serve(), timeout=3.0, max_retries=1)
        twin = pickle.loads(pickle.dumps(client))
        self.addCleanup(twin.close)
        self.assertEqual((twin.timeout, twin.max_retries), (3.0, 1))

    @unittest.skipIf(sys.implementation.name == "pypy", "PyPy pickles a context")
    def test_a_client_with_an_ssl_context_does_not_pickle_and_says_why(self):
        client = self.client(self.serve(), ssl_context=ssl.create_default_context())
        with self.assertRaisesRegex(TypeError, "SSLContext"):
            pickle.dumps(client)

    @unittest.skipUnless(hasattr(os, "fork"), "needs fork")
    def test_a_forked_child_has_connections_of_its_own(self):
        server = self.serve()
        command = (sys.executable, "-c", FORKING)
        self.assertEqual(run_process(server, *command), (0, "", ""))
        connections = {}  # their numbers, by what was asked
        for received in server.requests:
            text = received.json["messages"][0]["content"]
            connections[text] = received.connection
        self.assertEqual(connections["of the parent"], 1)
        self.assertEqual(connections["before"], 2)
        self.assertEqual(connections["of the child"], 3)
        self.assertIn(connections["after"], (1, 2))

    def test_sixteen_threads_share_a_client(self):
        def echo(received):
            text = received.json["messages"][0]["content"]
            if not received.json.get("stream"):
                return http_answer(200, completion(text))
            return sse(chunk(text[:4]), chunk(text[4:], "stop"), "[DONE]")

        server = self.serve(echo)
        client = self.client(server)

        def work(thread):
            for number in range(16):
                text = "thread %d, call %d" % (thread, number)
                if number % 2:
                    reply = client.complete(text)
                else:
                    with client.stream(text) as stream:
                        reply = stream.get_final_completion()
                self.assertEqual(reply.text, text)

        with ThreadPoolExecutor(16) as threads:
            list(threads.map(work, range(16)))
        self.assertEqual(len(server.requests), 256)
        self.assertLessEqual(server.connections, 16)


def tunnel(received):
    """The script of a proxy that is asked to CONNECT to a server."""
    host, port = received.target.split(":")
    established = b"HTTP/1.1 200 Connection established\r\n\r\n"
    return [established, socket.create_connection((host, int(port)))]


CERTIFICATE_SETTINGS = """\
[req]
distinguished_name = name
prompt = no
[name]
CN = siraya test
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = CA:FALSE
keyUsage = critical, digitalSignature
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = IP:127.0.0.1
"""
NEW_KEY = "-config settings -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
CERTIFICATE_COMMANDS = (  # of openssl: an authority, and a server that it vouches for
    "req -x509 -days 2 -extensions authority -keyout authority.key -out authority.pem "
    + NEW_KEY,
    "req -keyout server.key -out server.csr " + NEW_KEY,
    "x509 -req -in server.csr -CA authority.pem -CAkey authority.key -set_serial 7 "
    "-days 2 -extfile settings -extensions server -out server.pem",
    "req -x509 -newkey rsa:2048 -nodes -keyout other.key -out other.pem -days 2"
    " -subj /CN=other",
)
REFUSED_TUNNELS = (  # what, the proxy's answer to CONNECT, a word of the error
    ("wrong password", http_answer(407), "407"),
    ("forbidden", http_answer(403), "403"),
    ("dropped", b"", ""),
    ("no HTTP", b"\x00\x01\r\n\r\n", ""),
    ("endless headers", b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 300, ""),
)


@unittest.skipUnless(
    shutil.which("openssl"), "needs the openssl command to make certificates"
)
class TLS(Test):
    @classmethod
    def setUpClass(cls):
        cls.certificates = tempfile.mkdtemp()
        with open(os.path.join(cls.certificates, "settings"), "w") as settings:
            settings.write(CERTIFICATE_SETTINGS)
        for command in CERTIFICATE_COMMANDS:
            subprocess.run(
                ["openssl", *command.split()],
                cwd=cls.certificates,
                check=True,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        cls.authority = os.path.join(cls.certificates, "authority.pem")
        cls.other_store = os.path.join(cls.certificates, "other.pem")
        asked = ["openssl", "x509", "-noout", "-hash", "-in", cls.authority]
        cls.hash_of_authority = subprocess.check_output(asked).decode().strip()
        cls.server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        cls.server_side.load_cert_chain(
            os.path.join(cls.certificates, "server.pem"),
            os.path.join(cls.certificates, "server.key"),
        )

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.certificates, ignore_errors=True)

    def trusting(self, server, **options):
        """A client that trusts the authority of these tests."""
        context = ssl.create_default_context(cafile=self.authority)
        return self.client(server, ssl_context=context, **options)

    def test_an_unknown_authority_is_an_error_at_once_that_says_what_to_do(self):
        server = self.serve(tls=self.server_side)
        for name, call in self.both(self.client(server)):
            with self.subTest(name):
                self.refused(APIConnectionError, ["SSL_CERT_FILE", "ssl_context"], call)
        # One connection a call: it was not tried again.
        self.assertEqual((server.connections, server.requests), (2, []))

    def test_a_system_without_authorities_is_told_which_file_is_missing(self):
        file, folder = os.path.join(self.folder, "cert.pem"), self.folder
        paths = ssl.DefaultVerifyPaths(
            None, None, "SSL_CERT_FILE", file, "SSL_CERT_DIR", folder
        )
        client = self.client(self.serve(tls=self.server_side))
        with mock.patch("ssl.get_default_verify_paths", return_value=paths):
            self.refused(APIConnectionError, [file], client.complete, "hi")

    def test_a_certificate_for_another_name_is_refused(self):
        server = self.serve(tls=self.server_side)
        client = self.trusting(server.base_url.replace("127.0.0.1", "localhost"))
        self.refused(APIConnectionError, ["localhost"], client.complete, "hi")
        self.assertEqual((server.connections, server.requests), (1, []))

    def test_session_tickets_do_not_cut_off_a_large_upload(self):
        server = self.serve(ANSWER, tls=self.server_side, keep=0)
        self.assertEqual(
            self.trusting(server).complete("x" * (8 << 20)).text, "Once upon"
        )
        length = int(server.requests[0].headers["content-length"])
        self.assertGreater(length, 8 << 20)

    def test_an_early_answer_ends_the_sending_over_tls_too(self):
        held = threading.Event()
        steps = [http_answer(413, REFUSAL), held]
        server = self.serve(steps, tls=self.server_side, early=True)
        self.addCleanup(held.set)
        call = self.trusting(server, timeout=5).complete
        self.refused(APIStatusError, ["413", "bad model"], call, "x" * (48 << 20))
        self.assertEqual(len(server.requests), 1)

    def test_an_authority_is_trusted_through_ssl_cert_dir(self):
        folder = self.folder
        shutil.copy(self.authority, os.path.join(folder, self.hash_of_authority + ".0"))
        os.environ["SSL_CERT_DIR"] = folder
        server = self.serve(tls=self.server_side)
        self.check_calls(self.client(server))
        os.environ["SSL_CERT_FILE"] = self.other_store
        self.check_calls(self.client(server))

    def test_an_authority_is_trusted_through_an_ssl_context(self):
        server = self.serve(tls=self.server_side)
        self.check_calls(self.trusting(server))
        self.assertEqual((server.connections, len(server.requests)), (1, 4))

    def test_an_authority_is_trusted_through_ssl_cert_file(self):
        server = self.serve(tls=self.server_side)
        os.environ["SSL_CERT_FILE"] = self.authority
        self.check_calls(self.client(server))
        self.assertEqual((server.connections, len(server.requests)), (1, 4))

    def check_calls(self, client):
        """Four calls, whole and streamed in turn, are answered."""
        for _, call in self.both(client) * 2:
            self.assertIn("model m", call().text)

    def test_another_process_trusts_what_its_environment_names(self):
        server = self.serve(tls=self.server_side)
        program = (
            "from siraya_chat import Client\nprint(Client().complete('hi', 'm').text)\n"
        )
        command = (sys.executable, "-c", program)
        outcome = run_process(server, *command, SSL_CERT_FILE=self.authority)
        self.assertIn("model m", outcome.out)

    def test_a_tunnel_carries_calls_and_streams_and_sees_nothing_of_them(self):
        for name in ("https_proxy", "HTTPS_PROXY"):
            server, proxy = self.serve(tls=self.server_side), self.serve(tunnel)
            url = "http://user:p%40ss%20word@" + proxy.address
            with self.subTest(name), mock.patch.dict(os.environ, {name: url}):
                self.check_calls(self.trusting(server, headers={"X-Secret": "y"}))
                self.assertEqual((proxy.connections, server.connections), (1, 1))
                (asked,) = proxy.requests
                self.assertEqual(asked.method, "CONNECT")
                self.assertEqual(asked.target, server.address)
                password = asked.headers.pop("proxy-authorization")
                self.assertEqual(password, "Basic " + text64(b"user:p@ss word"))
                self.assertLessEqual(set(asked.headers), {"host"})
                received = server.requests[-1].headers
                self.assertNotIn("proxy-authorization", received)
                self.assertEqual(received["x-secret"], "y")

    def test_a_tunnel_that_is_refused_is_a_connection_error(self):
        server = self.serve(tls=self.server_side)
        for name, answer, word in REFUSED_TUNNELS:
            proxy = self.serve([answer, CLOSE])
            os.environ["https_proxy"] = "http://user:pass@" + proxy.address
            with self.subTest(name):
                client = self.trusting(server, max_retries=0)
                error = self.refused(APIConnectionError, [word], client.complete, "hi")
                self.assertNotIn("pass", str(error).replace("password", ""))
        self.assertEqual(server.requests, [])

    def test_an_untrusted_server_behind_a_tunnel_is_refused_too(self):
        server, proxy = self.serve(tls=self.server_side), self.serve(tunnel)
        os.environ["https_proxy"] = "http://" + proxy.address
        call = self.client(server).complete
        self.refused(APIConnectionError, ["SSL_CERT_FILE"], call, "hi")
        self.assertEqual((len(proxy.requests), server.requests), (1, []))

    def test_no_proxy_goes_direct(self):
        server, proxy = self.serve(tls=self.server_side), self.serve(tunnel)
        os.environ["https_proxy"] = "http://" + proxy.address
        for name in ("no_proxy", "NO_PROXY"):
            with mock.patch.dict(os.environ, {name: "127.0.0.1"}):
                self.trusting(server).complete("hi")
        self.assertEqual((proxy.connections, len(server.requests)), (0, 2))

    def test_a_stream_over_tls_is_cut_like_any_other(self):
        stream = self.trusting(self.serve(BROKEN, tls=self.server_side)).stream("hi")
        error = self.refused(StreamError, [], stream.get_final_completion)
        self.assertEqual(error.partial.text, "Once upon")

    def test_a_stream_over_tls_is_cancelled_like_any_other(self):
        server = self.serve(HELD, tls=self.server_side)
        self.assert_close_wakes_a_reader(self.trusting(server), server)


class PlainProxies(Test):
    def test_plain_requests_go_through_http_proxy_with_user_and_password(self):
        for name in ("http_proxy", "HTTP_PROXY"):
            proxy = self.serve()
            url = "http://user:p%40ss@" + proxy.address
            with self.subTest(name), mock.patch.dict(os.environ, {name: url}):
                client = self.client("http://service.invalid:8080/v1")
                with warnings.catch_warnings():
                    # About the key on a plain connection.
                    warnings.simplefilter("ignore")
                    for _, call in self.both(client):
                        self.assertIn("model m", call().text)
                self.assertEqual((len(proxy.requests), proxy.connections), (2, 1))
                target = "http://service.invalid:8080/v1/chat/completions"
                password = "Basic " + text64(b"user:p@ss")
                for received in proxy.requests:
                    self.assertEqual(received.target, target)
                    self.assertEqual(received.headers["host"], "service.invalid:8080")
                    self.assertEqual(received.headers["proxy-authorization"], password)

    def test_no_proxy_goes_direct(self):
        server, proxy = self.serve(), self.serve()
        os.environ.update(http_proxy="http://" + proxy.address, no_proxy="127.0.0.1")
        self.client(server).complete("hi")
        self.assertEqual((len(server.requests), proxy.connections), (1, 0))


LONG_EVENT = event(chunk(" upon" * 20))
GARBAGE = b"\x16\x03\x01\x00\xff garbage\r\n\r\n" * 3
FAULTS = {  # steps of the stand-in
    "close": (CLOSE,),
    "reset": RESET_LATER,
    "silence": (SILENCE,),
    "garbage": (GARBAGE, CLOSE),
}


def begun_chunk(data):
    """The beginning of an HTTP chunk that would go on."""
    return b"%x\r\n%s" % (len(data) + 200, data[:50])


POINTS = {  # what was sent before the fault: of a whole answer, of a stream
    "connect": (b"", b""),
    "TLS": (b"", b""),
    "request sent": (b"", b""),
    "status": (b"HTTP/1.1 20", b"HTTP/1.1 20"),
    "headers": (JSON_HEAD[:40], SSE_HEAD[:40]),
    "between events": (
        JSON_HEAD + framed(BODY[:50].encode()),
        SSE_HEAD + framed(event(ONCE)),
    ),
    "inside an event": (
        JSON_HEAD + begun_chunk(BODY.encode()),
        SSE_HEAD + framed(event(ONCE)) + begun_chunk(LONG_EVENT),
    ),
    "last byte": (ANSWER[:-1], STREAM[:-1]),
}
Expected = collections.namedtuple("Expected", "error kept sent")
# Its error, what is kept of the answer, how often it is sent with one retry.
DROPPED = Expected(APIConnectionError, None, 2)
TIMEOUT = Expected(APITimeoutError, None, 2)
# The request was sent whole: it would be paid twice.
SILENT = Expected(APITimeoutError, None, 1)
BEGUN_ANSWER = Expected(APIConnectionError, None, 1)
# The garbage is taken for headers and a body.
NO_ANSWER = Expected(ResponseError, "", 1)
NO_STREAM = Expected(StreamError, "", 1)
HALF = Expected(APIConnectionError, BODY[:50], 1)
HALF_IN_TIME = Expected(APITimeoutError, BODY[:50], 1)
BROKEN_OFF = Expected(StreamError, "Once", 1)
NEARLY = Expected(APIConnectionError, BODY[:-1], 1)
NEARLY_IN_TIME = Expected(APITimeoutError, BODY[:-1], 1)
NEARLY_JSON = Expected(ResponseError, BODY[:-1], 1)
WHOLE = Expected(None, "Once upon", 1)  # [DONE] was there
# fmt: off
MATRIX = (  # where, fault, what is expected of a whole call, of a stream
    ("connect",         "close",   DROPPED,        DROPPED),
    ("connect",         "reset",   DROPPED,        DROPPED),
    ("connect",         "silence", SILENT,         SILENT),
    ("connect",         "garbage",BEGUN_ANSWER,   BEGUN_ANSWER),
    ("TLS",             "close",   DROPPED,        DROPPED),
    ("TLS",             "reset",   DROPPED,        DROPPED),
    ("TLS",             "silence", TIMEOUT,        TIMEOUT),
    ("TLS",             "garbage", DROPPED,        DROPPED),
    ("request sent",    "close",   DROPPED,        DROPPED),
    ("request sent",    "reset",   DROPPED,        DROPPED),
    ("request sent",    "silence", SILENT,         SILENT),
    ("request sent",    "garbage",BEGUN_ANSWER,   BEGUN_ANSWER),
    ("status",          "close", BEGUN_ANSWER,   BEGUN_ANSWER),
    ("status",          "reset", BEGUN_ANSWER,   BEGUN_ANSWER),
    ("status",          "silence", SILENT,         SILENT),
    ("status",          "garbage",BEGUN_ANSWER,   BEGUN_ANSWER),
    ("headers",         "close",   BEGUN_ANSWER,   BEGUN_ANSWER),
    ("headers",         "reset",   BEGUN_ANSWER,   BEGUN_ANSWER),
    ("headers",         "silence", SILENT,         SILENT),
    ("headers",         "garbage", NO_ANSWER,      NO_STREAM),
    ("between events",  "close",   HALF,           BROKEN_OFF),
    ("between events",  "reset",   HALF,           BROKEN_OFF),
    ("between events",  "silence", HALF_IN_TIME,   BROKEN_OFF),
    ("between events",  "garbage", HALF,           BROKEN_OFF),
    ("inside an event", "close",   HALF,           BROKEN_OFF),
    ("inside an event", "reset",   HALF,           BROKEN_OFF),
    ("inside an event", "silence", HALF_IN_TIME,   BROKEN_OFF),
    ("inside an event", "garbage", HALF,           BROKEN_OFF),
    ("last byte",       "close",   NEARLY,         WHOLE),
    ("last byte",       "reset",   NEARLY,         WHOLE),
    ("last byte",       "silence", NEARLY_IN_TIME, WHOLE),
    ("last byte",       "garbage", NEARLY_JSON,    WHOLE),
)
# fmt: on


class FaultMatrix(Test):
    def test_the_table_has_every_point_and_every_fault(self):
        rows = [(point, fault) for point, fault, _, _ in MATRIX]
        self.assertEqual(rows, list(itertools.product(POINTS, FAULTS)))

    def test_every_fault_at_every_point_is_what_the_table_says(self):
        cells = []
        for point, fault, whole, stream in MATRIX:
            cells += [(point, fault, False, whole), (point, fault, True, stream)]
        with warnings.catch_warnings():
            # Python's own wrap_socket() leaves its socket to the collector if a reset
            # comes before the handshake.
            warnings.filterwarnings(
                "ignore", "unclosed <ssl.SSLSocket", ResourceWarning
            )
            with ThreadPoolExecutor(32) as threads:  # which wait for silence to end
                outcomes = list(threads.map(self.outcome, cells))
            gc.collect()
        for (point, fault, streamed, expected), outcome in zip(cells, outcomes):
            with self.subTest("%s, %s" % (point, fault), streamed=streamed):
                self.assertIs(outcome.error, expected.error)
                kept = outcome.kept
                if fault == "garbage" and kept:  # some of it may stand behind
                    kept = kept[: len(expected.kept)]
                self.assertEqual(kept, expected.kept)
                self.assertEqual(outcome.sent, expected.sent)

    def outcome(self, cell):
        """What one exchange comes to, as `Expected`."""
        point, fault, streamed, _ = cell
        if point in ("connect", "TLS"):
            steps = greeting = FAULTS[fault]
        else:
            steps, greeting = (POINTS[point][streamed], *FAULTS[fault]), ()
        seconds = 0.5 if fault == "silence" else 20.0
        limits = {"timeout": seconds, "connect_timeout": seconds, "max_retries": 1}
        with StandIn(steps, greeting=greeting) as server:
            url = server.base_url
            if point == "TLS":
                url = url.replace("http", "https")
            with Client(KEY, url, model="m", **limits) as client:
                try:
                    text = ask(client, streamed).text
                    return Expected(None, text, server.connections)
                except StreamError as error:
                    text = error.partial.text
                    return Expected(type(error), text, server.connections)
                except SirayaError as error:
                    return Expected(type(error), error.body, server.connections)


HOSTILE_HEADS = (  # what comes in place of an answer: an APIConnectionError
    ("another protocol", b"SSH-2.0-OpenSSH_9.2\r\n"),
    ("HTTP/0.9", b"<html>hello</html>\r\n"),
    ("HTTP/2 frames", b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x80"),
    ("a status that is no number", b"HTTP/1.1 abc OK\r\n\r\n"),
    ("a status out of range", b"HTTP/1.1 99999 OK\r\n\r\n"),
    ("a negative status", b"HTTP/1.1 -20 OK\r\n\r\n"),
    ("no status", b"HTTP/1.1\r\n\r\n"),
    (
        "another protocol from now on",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + ANSWER,
    ),
    ("an unknown version", b"HTTP/9.9 200 OK\r\n\r\n{}"),
    ("an endless status line", b"HTTP/1.1 200 " + b"x" * 200000),
    ("an endless header", b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200000),
    ("endless headers", b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20000 + ANSWER[17:]),
    ("a flood of 100", b"HTTP/1.1 100 Continue\r\n\r\n" * 5000 + ANSWER),
    ("a flood of 103", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" * 5000 + ANSWER),
    (
        "interim answers with endless headers",
        b"HTTP/1.1 103 Early Hints\r\n" + b"X: y\r\n" * 20000 + b"\r\n" + ANSWER,
    ),
)
DEEP, DEPTH_ENDS = "[" * 100000, "]" * 100000
LOGIN_PAGE = "<html><form>Log in to the network</form></html>"
DEEP_DELTA = '{"choices": [{"delta": {"content": %s%s}}]}' % (DEEP, DEPTH_ENDS)
DAMAGED_GZIP = gzip.compress(BODY.encode())[:-9] + b"\0" * 9
HOSTILE_BODIES = (  # what, answer: a ResponseError of a whole call, a StreamError
    ("nothing", json_answer("")),
    ("204", b"HTTP/1.1 204 No Content\r\n\r\n"),
    ("205", b"HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n"),
    ("a login page", http_answer(200, LOGIN_PAGE, Content_Type="text/html")),
    ("plain text", http_answer(200, "it works!")),
    ("bytes that are no UTF-8", json_answer(b"\xff\xfe\x00")),
    ("deep arrays", json_answer(DEEP)),
    ("deep arrays, closed", json_answer(DEEP + DEPTH_ENDS)),
    ("deep objects", json_answer('{"choices":' * 100000)),
    ("a deep event", sse(event(DEEP))),
    ("a deep delta", sse(event(DEEP_DELTA))),
    ("null", json_answer("null")),
    ("an array", http_answer(200, [])),
    ("an object without choices", http_answer(200, {})),
    ("an error", http_answer(200, {"error": {"message": "no"}})),
    ("choices: null", http_answer(200, {"choices": None})),
    ("choices: a string", http_answer(200, {"choices": "x"})),
    ("choices: an object", http_answer(200, {"choices": {"0": {}}})),
    ("a choice: null", http_answer(200, {"choices": [None]})),
    ("a choice: a string", http_answer(200, {"choices": ["x"]})),
    ("a message: a string", http_answer(200, {"choices": [{"message": "x"}]})),
    ("a message: an array", http_answer(200, {"choices": [{"message": []}]})),
    ("a number of 5000 digits, cut", json_answer("[" + "9" * 5000)),
    ("gzip that is not", json_answer(BODY, Content_Encoding="gzip")),
    ("gzip that is not, streamed", sse_head("gzip") + framed(event(ONCE)) + LAST),
    ("deflate that is not", http_answer(200, b"\xff" * 50, Content_Encoding="deflate")),
    ("a coding not asked for", json_answer(BODY, Content_Encoding="br")),
    ("damaged gzip", http_answer(200, DAMAGED_GZIP, Content_Encoding="gzip")),
)
GOOD_CHUNK = framed(BODY.encode())  # which is refused only for what stands around it
HOSTILE_FRAMES = (  # what follows the headers of a chunked answer: it is lost within
    ("a negative chunk size", b"-5\r\nhello\r\n" + LAST),
    ("a signed chunk size", b"+" + GOOD_CHUNK + LAST),
    ("a prefixed chunk size", b"0x" + GOOD_CHUNK + LAST),
    ("an underscore", b"0_" + GOOD_CHUNK + LAST),
    ("a chunk size of words", b"xyz\r\nhello\r\n"),
    ("an empty chunk size", b"\r\nhello\r\n"),
    ("a huge chunk size", b"f" * 17 + b"\r\nhello\r\n"),
    ("an endless chunk size", b"5;" + b"x" * 300000),
    ("a long extension", b"5;" + b"x" * 70000 + b"\r\nhello\r\n" + LAST),
    ("a chunk longer than its size", b"2\r\nhello\r\n" + LAST),
    ("a chunk cut short", b"ffff\r\nhello"),
    ("no last chunk", GOOD_CHUNK),
)
BLANKS, LETTERS = framed(b" " * 1000), framed(b"x" * 1000)
COMMENT = framed(b":" + b"x" * 998 + b"\n")
# Newer versions of http.client have a bound for trailers of their own.
BOUNDED = (ResponseError, APIConnectionError)
TRAILERS = b"0\r\n" + b"X: y\r\n" * 100000
EXTENDED = b"1;" + b"x" * 60 + b"\r\n \r\n"  # a chunk of one byte
ERROR_HEAD = JSON_HEAD.replace(b"200 OK", b"400 No")
ENDLESS = (  # what, streamed, answer, error where the limits are reached
    ("a body", False, JSON_HEAD + BLANKS * 500, ResponseError),
    ("a body for a stream", True, JSON_HEAD + BLANKS * 500, StreamError),
    ("a line", True, SSE_HEAD + framed(b"data: ") + LETTERS * 500, StreamError),
    ("an event", True, SSE_HEAD + framed(b"data: 1\n" * 100) * 500, StreamError),
    ("comments", True, SSE_HEAD + COMMENT * 500, StreamError),
    ("events", True, SSE_HEAD + framed(event(ONCE)) * 2000, StreamError),
    ("an error body", False, ERROR_HEAD + LETTERS * 500, BadRequestError),
    ("trailers", False, JSON_HEAD + GOOD_CHUNK + TRAILERS, BOUNDED),
    ("chunk extensions", False, JSON_HEAD + EXTENDED * 20000, ResponseError),
)
ODD_VALUES = (None, True, -1, 1e308, "x", [], {}, [[{}]], {"a": {"b": None}})


class HostileAnswers(Test):
    def check(self, what, steps, whole_error, stream_error):
        for streamed, kind in ((False, whole_error), (True, stream_error)):
            client = self.client(self.serve(steps), max_retries=0)
            with self.subTest(what, streamed=streamed):
                error = self.refused(kind, [], ask, client, streamed)
                self.assertNotIn("timeout", str(error))

    def test_what_is_no_http_answer_is_a_connection_error(self):
        for name, head in HOSTILE_HEADS:
            self.check(name, [head, CLOSE], APIConnectionError, APIConnectionError)

    def test_what_is_no_completion_is_a_response_error(self):
        for name, answer in HOSTILE_BODIES:
            self.check(name, [answer, CLOSE], ResponseError, StreamError)

    def test_framing_that_breaks_is_a_lost_connection(self):
        for name, frames in HOSTILE_FRAMES:
            steps = [JSON_HEAD + frames, CLOSE]
            self.check(name, steps, APIConnectionError, StreamError)

    def test_lengths_that_lie_are_errors(self):
        for length in ("-1", "-999999", "x", "", "1e3", str(len(BODY) + 5), "9" * 30):
            answer = json_answer(BODY[:-4], Content_Length=length)
            client = self.client(self.serve([answer, CLOSE]), max_retries=0)
            for name, call in self.both(client):
                with self.subTest(length, call=name), self.assertRaises(SirayaError):
                    call()

    def test_what_exceeds_a_length_does_not_reach_the_next_answer(self):
        client = self.client(self.serve(json_answer(BODY, Content_Length=5), ANSWER))
        with self.assertRaises(ResponseError):
            client.complete("hi")
        self.assertEqual(client.complete("hi").text, "Once upon")

    def test_a_document_that_is_cut_off_is_measured_in_bytes(self):
        body = json.dumps(completion("\u597d" * 50), ensure_ascii=False).encode()
        head = b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"
        client = self.client(self.serve([head + body, CLOSE]), max_retries=0)
        words = ["after %d bytes" % len(body)]
        self.refused(APIConnectionError, words, client.complete, "hi")

    def test_an_answer_that_is_complete_at_the_limit_is_one_however_asked(self):
        answer = sse(ONCE, END, "[DONE]", chunked=False)
        self.limit(MAX_ANSWER_BYTES=len(answer) // 2)
        client = self.client(self.serve([answer, CLOSE]))
        for name, call in self.both(client):
            with self.subTest(name):
                self.assertEqual(call().text, "Once")

    def test_what_never_ends_is_given_up_at_the_limits(self):
        self.limit(MAX_ANSWER_BYTES=200000)
        self.limit(MAX_ERROR_BODY_BYTES=50000, MAX_WIRE_BYTES=600000)
        for name, streamed, answer, kind in ENDLESS:
            with self.subTest(name):
                server = self.serve([answer, SILENCE])
                client = self.client(server, max_retries=0)
                error = self.refused(kind, [], ask, client, streamed)
                self.assertNotIn("timeout", str(error))
                self.assertTrue(server.wait_closed())

    def test_interim_answers_are_skipped(self):
        interim = (
            b"HTTP/1.1 100 Continue\r\n\r\n"
            b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\nX: y\r\n\r\n"
            b"HTTP/1.1 102 Processing\r\n\r\n"
        )
        for streamed, answer in ((False, ANSWER), (True, STREAM)):
            server = self.serve(interim + answer)
            client = self.client(server)
            for _ in range(2):
                self.assertEqual(ask(client, streamed).text, "Once upon")
            self.assertEqual(server.connections, 1)

    def test_fields_of_any_type_beside_the_choices_do_no_harm(self):
        for value in ODD_VALUES:
            delta = {"content": value, "tool_calls": value}
            choice = {"index": value, "delta": delta, "finish_reason": value}
            odd = {"id": value, "usage": value, "choices": [choice]}
            with self.subTest(value=value):
                server = self.serve(sse(odd, ONCE, "[DONE]"))
                stream = self.client(server).stream("hi")
                try:
                    self.assertIn("Once", "".join(stream.text_stream))
                    answer = stream.get_final_completion()
                except StreamError as error:
                    answer = error.partial
                self.assertIsInstance(answer, Completion)
                self.assertIsInstance(answer.text, str)

    def test_hundreds_of_failures_leave_nothing_behind(self):
        broken, no_json = [SSE_HEAD, RESET], http_answer(200, "x")
        answers = [ANSWER, [CLOSE], http_answer(500), broken, STREAM, no_json]
        server = self.serve(*answers * 40)
        client = self.client(server, max_retries=0)
        threads = threading.active_count()
        for number in range(240):
            with contextlib.suppress(SirayaError):
                if number % 2:
                    client.complete("hi")
                else:
                    list(client.stream("hi"))
        client.close()
        gc.collect()
        self.assertTrue(server.wait(lambda: len(server.closed) == server.connections))
        self.assertLessEqual(threading.active_count(), threads + 1)


# === client ===========================================================================


EXAMPLE = """
import os
from openai import OpenAI

client = OpenAI(
    api_key='<API_KEY>',
    base_url='https://llm.siraya.pro/v1'
)

%s = client.chat.completions.create(
    model='claude-3-5-sonnet@20240620',
    messages=[
        {
            'role': 'user',
            'content': 'What is the meaning of life?'
        }
    ],
    stream=%s,
)

"""
EXAMPLES = {  # the two Python examples of the service's documentation
    "whole": EXAMPLE % ("completion", False)
    + """\
print('Assistant:', completion.choices[0].message.content)
print('Tokens used:', completion.usage)
""",
    "streamed": EXAMPLE % ("stream", True)
    + """\
for chunk in stream:
    content = chunk.choices[0].delta.content
    if content:
        print(content, end='', flush=True)
""",
}


PARAMETERS = (  # name, a value that is refused, error
    ("temperature", 3, ValueError),
    ("timeout", -1, ValueError),
    ("timeout", "1", TypeError),
    ("max_retries", -1, ValueError),
    ("max_retries", True, TypeError),
    ("extra_headers", {"a b": "c"}, ValueError),
)
SETTINGS = (  # name, a value that is refused, error
    ("headers", 5, TypeError),
    ("headers", ["a"], TypeError),
    ("ssl_context", 5, TypeError),
    ("base_url", 5, TypeError),
    ("timeout", "5", TypeError),
    ("timeout", 0, ValueError),
    ("timeout", 1e9, ValueError),
    ("connect_timeout", 1_000_001, ValueError),
    ("deadline", 4294967.8, ValueError),
    ("connect_timeout", -1, ValueError),
    ("max_retries", None, TypeError),
    ("max_retries", 1.5, TypeError),
)
BAD_URLS = (
    "file:///etc/passwd",
    "ftp://host/v1",
    "data:text/plain,hi",
    "host/v1",
    "http://",
    "https:///v1",
    "http://h:99999/v1",
    "http://h:0/v1",
    "http://h:x/v1",
    '"http://h/v1"',
    "http\u0455://h/v1",
    "http://h\uff0e.example/v1",
    "http://h/v1#x",
    "http://h/a b",
    "http://h\n/",
    "http://h%0d%0aX:1/",
    "http://user:pass@h/v1",
    "http://h/\u00e9",
    "http://[::1/v1",
    "https://a..com/v1",
    "https://.a.com/v1",
    "https://a.com../v1",
    "https://./v1",
    "https://%s.com/v1" % ("a" * 64),
    "https://%s/v1" % ("a" * 64),
)


class Calls(Test):
    def test_a_call_sends_the_request_and_gives_the_answer(self):
        server = self.serve()
        messages = [user("h\u00e9")]
        reply = self.client(server).complete(messages, "m", temperature=0)
        self.assertIsInstance(reply, Completion)
        said = "model m; 1 message (user); parts: text 2 characters."
        self.assertIn(said, reply.text)
        (received,) = server.requests
        self.assertEqual(received.method, "POST")
        self.assertEqual(received.target, "/v1/chat/completions")
        self.assertEqual(received.headers["authorization"], "Bearer " + KEY)
        self.assertEqual(received.headers["content-type"], "application/json")
        self.assertEqual(received.headers["content-length"], str(len(received.body)))
        self.assertEqual(received.json, build_request(messages, "m", temperature=0))

    def test_a_streamed_answer_comes_to_the_whole_answer(self):
        client = self.client(self.serve())
        json_object = {"response_format": {"type": "json_object"}}
        for params in ({}, {"tools": [TOOL]}, json_object):
            with self.subTest(**params), client.stream("hi", **params) as stream:
                whole = client.complete("hi", **params)
                self.assertEqual(stream.get_final_completion().choices, whole.choices)

    def test_the_text_of_a_streamed_answer_comes_in_pieces(self):
        client = self.client(self.serve())
        with client.stream("hi") as stream:
            pieces = list(stream.text_stream)
        self.assertGreater(len(pieces), 5)
        self.assertEqual("".join(pieces), client.complete("hi").text)

    def test_a_stream_can_be_read_by_next_and_then_as_text(self):
        client = self.client(self.serve())
        stream = client.stream("hi")
        self.assertEqual(next(stream).choices[0].delta.role, "assistant")
        self.assertEqual("".join(stream.text_stream), client.complete("hi").text)

    def test_a_method_that_cannot_do_what_stream_says_names_the_one_that_can(self):
        client = self.client(self.serve())
        refused = functools.partial(self.refused, TypeError)
        refused(["complete()"], client.stream, "hi", stream=False)
        refused(["stream()"], client.complete, "hi", stream=True)

    def test_create_is_the_door_of_the_openai_sdk(self):
        create = self.client(self.serve()).chat.completions.create
        hi = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
        self.assertIsInstance(create(**hi), Completion)
        self.assertIsInstance(create(stream=False, **hi), Completion)
        with create(stream=True, **hi) as stream:
            self.assertIsInstance(stream, Stream)
        self.refused(TypeError, ["stream"], create, stream="yes", **hi)

    def test_the_examples_of_the_documentation_run_with_another_import(self):
        for name, example in EXAMPLES.items():
            server = self.serve()
            program = example.replace(
                "from openai import OpenAI", "from siraya_chat import Client as OpenAI"
            ).replace("https://llm.siraya.pro/v1", server.base_url)
            printed, names = io.StringIO(), {}
            with self.subTest(name), contextlib.redirect_stdout(printed):
                exec(program, names)
                names["client"].close()
                said = "model claude-3-5-sonnet@20240620; 1 message (user)"
                self.assertIn(said, printed.getvalue())
                if name == "whole":
                    self.assertIn("Tokens used: {", printed.getvalue())

    def test_headers_of_one_call_go_before_the_clients_in_that_call_alone(self):
        server = self.serve(ANSWER)
        client = self.client(server, headers={"X-Team": "blue", "X-Tag": "a"})
        client.complete("hi")
        client.complete("hi", extra_headers={"x-team": "red"})
        client.complete("hi")
        teams = [received.headers["x-team"] for received in server.requests]
        self.assertEqual(teams, ["blue", "red", "blue"])
        tags = [received.headers["x-tag"] for received in server.requests]
        self.assertEqual(tags, ["a", "a", "a"])

    def test_an_extra_body_is_sent_in_that_call_alone(self):
        server = self.serve(ANSWER)
        client = self.client(server)
        client.complete("hi", extra_body={"seed": 7, "model": "other"})
        client.complete("hi")
        first, second = [received.json for received in server.requests]
        self.assertEqual((first["seed"], first["model"]), (7, "other"))
        self.assertEqual(second["model"], "m")
        self.assertNotIn("seed", second)

    def test_max_retries_of_one_call_hold_for_that_call_alone(self):
        server = self.serve(http_answer(503), http_answer(503), ANSWER)
        client = self.client(server)
        self.refused(InternalServerError, [], client.complete, "hi", max_retries=0)
        self.assertEqual(client.complete("hi").text, "Once upon")

    def test_what_is_not_given_is_not_sent_wherever_it_stands(self):
        server = self.serve(ANSWER)
        client = self.client(server, headers={"X-A": "1", "X-B": "2"})
        for nothing in (NOT_GIVEN, siraya_chat.omit):
            headers = {"Authorization": nothing, "X-A": nothing}
            query = {"a": nothing, "b": None, "c": "1"}
            options = {"extra_headers": headers, "extra_query": query}
            client.complete("hi", stream=nothing, **options)
            asked = server.requests[-1]
            self.assertNotIn("authorization", asked.headers)
            self.assertNotIn("x-a", asked.headers)
            self.assertEqual(asked.headers["x-b"], "2")
            self.assertEqual(asked.target.partition("?")[2], "c=1")
            self.assertIs(asked.json["stream"], False)
        self.assertEqual(client.complete("hi", stream=None).text, "Once upon")
        words = ["stream=True"]
        self.refused(TypeError, words, client.complete, "hi", stream=True)
        named = {"headers": NOT_GIVEN, "default_headers": {"X-A": "1"}}
        self.assertEqual(Client(KEY, **named).headers, {"X-A": "1"})

    def test_no_name_of_a_parameter_has_a_meaning_inside(self):
        server = self.serve(ANSWER)
        client = self.client(server)
        for name in ("read_answer", "is_stream", "params", "call", "body"):
            with self.subTest(name):
                client.complete("hi", **{name: "x"})
                self.assertEqual(server.requests[-1].json[name], "x")

    def test_a_timeout_of_one_call_holds_for_that_call_alone(self):
        server = self.serve([SILENCE], [0.3, ANSWER])
        client = self.client(server, max_retries=0)
        self.refused(APITimeoutError, [], client.complete, "hi", timeout=0.05)
        self.assertEqual(client.complete("hi").text, "Once upon")

    def test_settings_of_a_client_are_no_parameters_of_a_call(self):
        server = self.serve(ANSWER)
        client = self.client(server)
        for name in ("api_key", "base_url", "connect_timeout", "headers", "proxy"):
            for call in (client.complete, client.stream):
                with self.subTest(name, call=call.__name__):
                    words = [name, "Client(", "with_options("]
                    self.refused(TypeError, words, call, "hi", **{name: "x"})
        self.assertEqual(server.connections, 0)

    def test_a_name_in_a_query_may_be_anything(self):
        server = self.serve(ANSWER)
        self.client(server).complete("hi", extra_query={1: "a", "b": [2, 3]})
        self.assertTrue(server.requests[0].target.endswith("?1=a&b=2&b=3"))

    def test_options_of_a_call_are_no_part_of_its_body(self):
        server = self.serve(ANSWER)
        options = {"timeout": 9, "max_retries": 1, "extra_headers": {"a": "b"}}
        self.client(server).complete("hi", extra_body={"seed": 7}, **options)
        self.assertFalse({"extra_body", *options} & set(server.requests[0].json))

    def test_settings_come_from_the_environment(self):
        server = self.serve()
        os.environ["SIRAYA_API_KEY"] = " %s\n" % KEY
        os.environ["SIRAYA_BASE_URL"] = server.base_url + "/"
        os.environ["SIRAYA_MODEL"] = "of-env"
        with Client() as client:
            self.assertIn("model of-env;", client.complete("hi").text)
        self.assertEqual(server.requests[0].headers["authorization"], "Bearer " + KEY)
        self.assertEqual(server.requests[0].target, "/v1/chat/completions")

    def test_no_other_vendors_settings_are_picked_up(self):
        server = self.serve(ANSWER)
        os.environ["OPENAI_API_KEY"] = "sk-other"
        os.environ["OPENAI_BASE_URL"] = "http://other.invalid"
        os.environ["SIRAYA_API_KEY"] = KEY
        os.environ["SIRAYA_BASE_URL"] = server.base_url
        with Client(model="m") as client:
            client.complete("hi")
        self.assertEqual(server.requests[0].headers["authorization"], "Bearer " + KEY)

    def test_a_missing_key_is_an_error_of_the_first_call_that_says_what_to_do(self):
        server = self.serve()
        os.environ["OPENAI_API_KEY"] = KEY
        with mock.patch.dict(os.environ, {"https_proxy": server.base_url}):
            call = Client(base_url="https://service.invalid/v1").complete
        self.refused(SirayaError, ["SIRAYA_API_KEY"], call, "hi", "m")
        self.assertEqual(server.connections, 0)

    def test_a_header_that_is_no_key_of_the_service_takes_no_keys_place(self):
        for name in ("Idempotency-Key", "Proxy-Authorization", "X-Title"):
            with self.subTest(name):
                client = Client("", "http://service.invalid/v1", headers={name: "one"})
                self.refused(SirayaError, ["SIRAYA_API_KEY"], client.complete, "a", "m")

    def test_bad_arguments_are_refused_before_a_byte_is_sent(self):
        server = self.serve()
        client = self.client(server)
        for name, value, error in PARAMETERS:
            for call in (client.complete, client.stream):
                with self.subTest(call=call.__name__, **{name: value}):
                    self.refused(error, [name], call, "hi", **{name: value})
        self.assertEqual(server.connections, 0)

    def test_bad_settings_are_refused_at_once(self):
        for name, value, error in SETTINGS:
            with self.subTest(**{name: value}):
                self.refused(error, [name], Client, KEY, **{name: value})

    def test_a_blank_base_url_is_told_what_a_url_looks_like(self):
        for url in ("  ", "\t", "\r\n"):
            with self.subTest(url):
                words = ["base_url", "http(s)://HOST"]
                error = self.refused(ValueError, words, Client, KEY, url)
                self.assertNotIn("quotes", str(error))

    def test_a_host_name_may_be_as_long_as_dns_allows(self):
        for host in ("a" * 63, "a" * 63 + ".example.", ".".join("a" * 120)):
            with self.subTest(host):
                self.assertIn(host, repr(self.client("https://%s/v1" % host)))

    def test_seconds_that_a_socket_cannot_count_are_told_what_is_allowed(self):
        server = self.serve(ANSWER)
        client = self.client(server)
        words = ["0.001 to 1000000", "4294967.8"]
        for name in ("timeout", "connect_timeout", "deadline"):
            with self.subTest(name):
                words[2:] = [name]
                self.refused(ValueError, words, Client, KEY, **{name: 4294967.8})
        call = functools.partial(self.refused, ValueError, words[:2], client.complete)
        for name in ("timeout", "deadline"):
            with self.subTest(name, call=True):
                call("hi", **{name: 4294967.8})
        self.assertEqual(server.connections, 0)

    def test_the_longest_and_the_shortest_seconds_that_are_allowed_are_taken(self):
        client = self.client(self.serve(ANSWER))
        client.timeout = client.connect_timeout = client.deadline = 1_000_000
        self.assertEqual(client.complete("hi").text, "Once upon")
        client.timeout = client.connect_timeout = client.deadline = 0.001
        client.with_options()

    def test_a_setting_that_is_too_deep_to_be_shown_is_a_type_error(self):
        client = self.client(self.serve())
        for name in ("timeout", "model", "max_retries", "ssl_context"):
            previous = getattr(client, name)
            setattr(client, name, nested(100_000, 0))
            with self.subTest(name):
                words = [name, "list"]
                self.refused(TypeError, words, client.complete, "hi")
            setattr(client, name, previous)

    def test_the_repr_of_a_client_shows_no_query(self):
        client = self.client("https://h.example/v1?code=hidden")
        self.assertIn("https://h.example/v1", repr(client))
        self.assertNotIn("hidden", repr(client))

    def test_urls_as_bytes_are_refused_without_being_shown(self):
        for name in ("base_url", "proxy"):
            value = b"http://user:hidden@h:1"
            with self.subTest(name):
                words = [name, "string", "bytes"]
                error = self.refused(TypeError, words, Client, KEY, **{name: value})
                self.assertNotIn("hidden", str(error))
                client = self.client(self.serve())
                setattr(client, name, value)
                error = self.refused(TypeError, words, client.complete, "hi")
                self.assertNotIn("hidden", str(error))

    def test_base_urls_that_cannot_work_are_refused_without_their_password(self):
        for url in BAD_URLS:
            with self.subTest(url):
                error = self.refused(ValueError, ["base_url"], Client, KEY, url)
                self.assertNotIn("pass@", str(error))


class Retries(Test):
    def test_a_failure_that_passes_is_not_seen(self):
        for name, first, second in (
            ("status", http_answer(503), http_answer(429)),
            ("drop", [CLOSE], [RESET]),
        ):
            for streamed, answer in ((False, ANSWER), (True, STREAM)):
                with self.subTest(name, streamed=streamed):
                    server = self.serve(first, second, answer)
                    reply = ask(self.client(server), streamed)
                    self.assertEqual(reply.text, "Once upon")
                    one, two, three = [received.body for received in server.requests]
                    self.assertEqual(one, two)
                    self.assertEqual(one, three)

    def test_an_answer_that_breaks_off_says_how_often_the_call_was_tried(self):
        server = self.serve(http_answer(503), [http_answer(200, "{}")[:-1], CLOSE])
        client = self.client(server)
        self.refused(APIConnectionError, ["tried 2 times"], client.complete, "hi")

    def test_max_retries_counts_the_repetitions(self):
        for retries in (0, 1, 4):
            server = self.serve(http_answer(500))
            self.fail_for_good(self.client(server, max_retries=retries))
            self.assertEqual(len(server.requests), 1 + retries)

    def fail_for_good(self, client):
        with self.assertRaises(InternalServerError):
            client.complete("hi")

    def test_the_server_may_say_when_to_come_back(self):
        for headers in (
            {"retry_after_ms": "300"},
            {"retry_after_ms": "300", "Retry_After": "59"},
            {"Retry_After": "0.3"},
        ):
            with self.subTest(**headers):
                self.check_pause(http_answer(503, "", **headers), 0.3)

    def check_pause(self, answer, least):
        """The next attempt after this answer comes after so many seconds, and soon."""
        server = self.serve(answer, ANSWER)
        self.assertEqual(self.client(server).complete("hi").text, "Once upon")
        first, second = [received.time for received in server.requests]
        self.assertTrue(least <= second - first < 20, second - first)

    def test_a_pause_is_never_shorter_than_our_own_shortest(self):
        self.limit(MIN_BACKOFF=0.3, MAX_BACKOFF=0.3)
        now = http_date(0)
        for headers in (
            {"Retry_After": "0"},
            {"retry_after_ms": "30"},
            {"Retry_After": http_date(-100)},
            {"Retry_After": now, "Date": now},
        ):
            with self.subTest(**headers):
                self.check_pause(http_answer(429, "", **headers), 0.3)

    def test_a_date_is_measured_against_the_servers_own_clock(self):
        dates = {"Retry_After": http_date(-3598), "Date": http_date(-3600)}
        error = RateLimitError(
            "",
            None,
            429,
            headers_of({name.replace("_", "-"): dates[name] for name in dates}),
        )
        self.assertEqual(error.retry_after, 2.0)

    def test_the_longest_pause_that_a_server_may_ask_for_is_still_kept(self):
        self.limit(MAX_RETRY_AFTER=0.3)
        self.check_pause(http_answer(503, "", Retry_After="0.3"), 0.3)

    def test_a_server_that_asks_for_too_long_is_not_asked_again(self):
        for value in ("86400", "61", "60.1", http_date(86400)):
            server = self.serve(http_answer(429, "", Retry_After=value), ANSWER)
            with self.subTest(value):
                call = self.client(server).complete
                error = self.refused(RateLimitError, ["429"], call, "hi")
                self.assertGreater(error.retry_after, 60)
                self.assertEqual(len(server.requests), 1)

    def test_an_error_in_a_200_may_ask_for_too_long_as_well(self):
        busy = {"error": {"code": 429, "message": "busy"}}
        for answer in (
            http_answer(200, busy, Retry_After="300"),
            http_answer(200, event(busy), Retry_After="300"),
        ):
            server = self.serve(answer, ANSWER)
            with self.subTest(answer[-30:]):
                call = self.client(server).complete
                error = self.refused(ResponseError, ["busy"], call, "hi")
                self.assertEqual(error.retry_after, 300.0)
                self.assertEqual(len(server.requests), 1)

    def test_an_error_in_a_200_may_say_when_to_come_back(self):
        busy = {"error": {"code": 429, "message": "busy"}}
        self.check_pause(http_answer(200, busy, Retry_After="0.3"), 0.3)

    def test_a_server_that_asks_for_nothing_sensible_gets_our_own_backoff(self):
        for value in ("-5", "nan", "inf", "1e999", "soon", "", "9" * 5000):
            server = self.serve(http_answer(429, "", Retry_After=value), ANSWER)
            with self.subTest(value[:50]):
                self.assertEqual(self.client(server).complete("hi").text, "Once upon")

    def test_the_pauses_are_as_long_as_the_readme_says(self):
        self.assertEqual(LIMITS["MIN_BACKOFF"], 0.5)
        self.assertEqual(LIMITS["MAX_BACKOFF"], 8.0)
        self.assertEqual(LIMITS["MAX_RETRY_AFTER"], 60.0)

    def test_our_own_pauses_grow_at_random_up_to_a_limit(self):
        least, most, calls, retries = 0.01, 0.08, 8, 12
        self.limit(MIN_BACKOFF=least, MAX_BACKOFF=most)
        servers = [self.serve(http_answer(503)) for _ in range(calls)]
        clients = [self.client(server, max_retries=retries) for server in servers]
        with ThreadPoolExecutor(calls) as threads:
            list(threads.map(self.fail_for_good, clients))
        pauses = []  # of each call, a list
        for server in servers:
            times = [received.time for received in server.requests]
            self.assertEqual(len(times), 1 + retries)
            pauses.append([after - before for before, after in zip(times, times[1:])])
        every = list(itertools.chain.from_iterable(pauses))
        first = [of_call[0] for of_call in pauses]
        last = [of_call[-1] for of_call in pauses]
        self.assertGreaterEqual(min(every), least - 0.001)
        # Without a limit, the last would be up to 20 seconds.
        self.assertLess(max(every), 10)
        self.assertLess(sum(first), sum(last), "no growth")
        self.assertGreater(max(last) - min(last), 0.01, "no jitter")

    def test_a_thousand_retries_are_no_failure_of_their_own(self):
        self.limit(MIN_BACKOFF=0.0, MAX_BACKOFF=0.0)
        with unused_port() as port:
            # 2.0 ** 1100 would overflow.
            client = self.client("http://127.0.0.1:%d/v1" % port, max_retries=1100)
            words = ["tried 1101 times"]
            self.refused(APIConnectionError, words, client.complete, "hi")

    def test_a_stream_that_has_begun_is_never_sent_again(self):
        server = self.serve([SSE_HEAD, RESET], STREAM)
        stream = self.client(server).stream("hi")
        self.refused(StreamError, [], stream.get_final_completion)
        self.assertEqual(len(server.requests), 1)

    def test_a_port_where_no_one_listens_is_a_connection_error_that_names_it(self):
        with unused_port() as port:
            place = "127.0.0.1:%d" % port
            for name, call in self.both(self.client("http://%s/v1" % place)):
                with self.subTest(name):
                    self.refused(APIConnectionError, [place], call)


def echoing(status, body):
    """The script of a server that puts the key into its status line, a header, and
    wherever the body says ECHO."""

    def script(received):
        echo = received.headers["authorization"]
        said = json.loads(json.dumps(body).replace("ECHO", echo))
        answer = http_answer(status, said, X_Echo=echo)
        return [answer.replace(b"\r", b" " + echo.encode() + b"\r", 1), CLOSE]

    return script


def echoing_between(before, after=b"\r\n"):
    """The script of a server that sends the key between these bytes."""

    def script(received):
        return [before + received.headers["authorization"].encode() + after, CLOSE]

    return script


ECHO_ERROR = {"error": {"message": "bad ECHO", "code": "ECHO"}}
ECHO_EVENT = sse(ONCE, chunked=False) + b'data: {"error": {"message": "'
ECHOES = (  # where the server says the key, its script
    ("401", echoing(401, ECHO_ERROR)),
    ("302", echoing(302, "bad ECHO")),
    ("500", echoing(500, "bad ECHO")),
    ("200, an error", echoing(200, ECHO_ERROR)),
    ("200, text", echoing(200, "bad ECHO")),
    ("200, not JSON", echoing(200, "{ECHO")),
    ("event", echoing_between(ECHO_EVENT, b'"}}\n\n')),
    ("status line", echoing_between(b"")),
    ("chunk size", echoing_between(SSE_HEAD)),
)
OTHER_SECRETS = (  # a header, its value, which holds the secret "sk-other"
    ("Authorization", "Bearer sk-other"),
    ("Authorization", "Bearer\tsk-other"),
    ("authorization", "Bearer \t sk-other"),
    ("Authorization", "sk-other"),
    ("Api-Key", "sk-other"),
    ("X-Api-Key", "sk-other"),
    ("X-Goog-Api-Key", "sk-other"),
    ("x-goog-api-key", "sk-other"),
)
OTHER_KEY = "0123456789abcdefghij"
NO_SECRETS = (  # a header, a value that an error may show
    ("X-Request-Id", "req-0123456789abcdef"),
    ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ("Idempotency-Key", "0123456789abcdef0123"),
    ("User-Agent", "my-program/1.0.0-beta2"),
    ("Referer", "https://example.com/page1"),
    ("X-Title", "my-program-number-17"),
    ("X-Team", "research"),
    ("X-Max-Tokens", "4096"),
    ("X-Author", "Ann-Example"),
    ("X-Words", "a value of 5 words and more"),
)
BAD_KEYS = (
    '"%s"' % KEY,
    "'%s'" % KEY,
    KEY + "\r\nX: y",
    KEY + "\0",
    "sk-t\u00e9" + KEY,
    KEY + " x",
    "\u201c" + KEY,
    KEY + "\x7f",
    KEY.encode(),
)
BAD_HEADERS = (
    {"X-A": "b\r\nX-C: d"},
    {"X-A": "b\nX-C: d"},
    {"X-A\r\nX-C": "d"},
    {"X-A": "b\0"},
    {"X A": "b"},
    {"": "b"},
    {"X-A": "\u20ac"},
    {"X-A": 7},
    {7: "b"},
    {"X:A": "b"},
    {"Content-Length": "0"},
    {"Transfer-Encoding": "chunked"},
)


class Secrecy(Test):
    def shown(self, call):
        """All that the error of a call shows."""
        try:
            call()
        except SirayaError as error:
            headers = getattr(error, "headers", None) or {}
            shown = [str(error), repr(error), repr(vars(error))]
            shown += [repr(list(headers.items())), repr(pickle.dumps(error))]
            return "\n".join([*shown, traceback.format_exc()])
        self.fail("no error")

    def test_a_server_that_echoes_the_key_does_not_publish_it(self):
        for name, script in ECHOES:
            client = self.client(self.serve(script), max_retries=0)
            for call_name, call in self.both(client):
                with self.subTest(name, call=call_name):
                    self.assertNotIn(KEY, self.shown(call))

    def test_a_key_that_is_echoed_in_the_escapes_of_json_is_not_published(self):
        escaped = r"sk-abc\/def\u002dghi"
        body = r'{"error": {"message": "bad ECHO", "code": "ECHO", "more": ["ECHO"]}}'
        body = body.replace("ECHO", escaped)
        for name, answer in (
            ("401", http_answer(401, body)),
            ("500", http_answer(500, body)),
            ("200", http_answer(200, body)),
            ("event", sse(body)),
            ("error event", sse(event(body, event="error"))),
        ):
            client = self.client(self.serve(answer), max_retries=0)
            client.api_key = "sk-abc/def-ghi"
            for call_name, call in self.both(client):
                with self.subTest(name, call=call_name):
                    shown = self.shown(call)
                    self.assertIn("bad ***", shown)
                    self.assertNotIn("sk-abc", shown)

    def test_the_error_beside_a_partial_answer_is_no_part_of_it(self):
        error = {"code": 401, "message": "bad " + KEY}
        choice = with_choice(delta={"content": "a"}, finish_reason="error")
        choice["choices"][0]["error"] = error
        for name, failed in (("top", dict(choice, error=error)), ("choice", choice)):
            client = self.client(self.serve(sse(ONCE, failed)), max_retries=0)
            for call_name, call in self.both(client):
                with self.subTest(name, call=call_name):
                    shown = self.shown(call)
                    self.assertIn("bad ***", shown)
                    self.assertNotIn(KEY, shown)
            with self.subTest(name, call="chunks"):
                stream, chunks = client.stream("hi"), []
                with self.assertRaises(StreamError) as caught:
                    for each in stream:
                        chunks.append(each)
                self.assertNotIn(KEY, repr(chunks))
                self.assertEqual(caught.exception.partial.text, "Oncea")

    def test_a_key_is_masked_in_the_spellings_of_others(self):
        key = "sk-abc/def+ghi=0"
        for said in (key, "sk-abc%2Fdef%2Bghi%3D0", "sk-abc%2fdef%2bghi%3d0"):
            server = self.serve(http_answer(400, "<p>bad %s" % said))
            client = self.client(server, max_retries=0)
            client.api_key = key
            with self.subTest(said):
                self.assertNotIn(said, self.shown(lambda: client.complete("hi")))
        spelt, broken = r"sk-abc\/def+ghi=0", '{"error": "bad %s'
        client = self.client(
            self.serve(http_answer(400, broken % spelt)), max_retries=0
        )
        client.api_key = key
        self.assertNotIn(spelt, self.shown(lambda: client.complete("hi")))

    def test_the_beginning_of_a_key_at_the_end_of_a_text_is_masked(self):
        self.limit(MAX_ERROR_BODY_BYTES=100)
        body = "x" * 80 + KEY + "x" * 80
        for answer in (
            http_answer(400, body),
            [http_answer(200, "bad " + KEY[:-1], Content_Length=99), CLOSE],
        ):
            client = self.client(self.serve(answer), max_retries=0)
            with self.subTest(answer):
                self.assertNotIn(KEY[:12], self.shown(lambda: client.complete("hi")))

    def test_words_that_only_begin_like_a_key_stay_readable(self):
        for said in ("use Authorization: Bearer", "a key starts with " + KEY[:5]):
            headers = {"Authorization": "Bearer " + OTHER_KEY}
            with self.subTest(said):
                message = self.echo(said, extra_headers=headers).partition("\n")[0]
                self.assertIn("bad " + said, message)

    def test_a_query_or_a_body_that_is_no_dict_is_not_shown(self):
        client = self.client(self.serve())
        for name in ("extra_query", "extra_body"):
            with self.subTest(name):
                words, named = [name, "str"], {name: "api-key=" + OTHER_KEY}
                call = functools.partial(client.complete, "hi", **named)
                error = self.refused(TypeError, words, call)
                self.assertNotIn(OTHER_KEY, str(error))

    def test_secrets_in_other_headers_are_masked_too(self):
        for name, value in OTHER_SECRETS:
            echo = {"error": {"message": "bad sk-other", "code": "sk-other"}}
            client = self.client(self.serve(http_answer(401, echo)))
            call = functools.partial(client.complete, extra_headers={name: value})
            with self.subTest(name, value=value):
                shown = self.shown(functools.partial(call, "hi"))
                self.assertIn("bad ***", shown)
                self.assertNotIn("sk-other", shown)

    def echo(self, said, base_url_end="", **options):
        """All that an error shows whose server said this; options are of the call."""
        server = self.serve(http_answer(400, {"error": {"message": "bad " + said}}))
        client = self.client(server.base_url + base_url_end, max_retries=0)
        return self.shown(functools.partial(client.complete, "hi", **options))

    def test_a_key_in_a_query_is_shown_nowhere(self):
        for name in ("api-key", "key", "api_key", "token", "code", "x-functions-key"):
            with self.subTest(name):
                shown = self.echo(OTHER_KEY, "?%s=%s" % (name, OTHER_KEY))
                self.assertIn("bad ***", shown)
                self.assertNotIn(OTHER_KEY, shown)
                for value in (OTHER_KEY, [OTHER_KEY], OTHER_KEY.encode()):
                    shown = self.echo(OTHER_KEY, extra_query={name: value})
                    self.assertNotIn(OTHER_KEY, shown)

    def test_a_key_in_a_query_may_end_in_equals_signs(self):
        written = "abc%2Fdef0123456789ghi=="
        self.assertNotIn(written, self.echo(written, "?key=" + written))

    def test_a_key_in_a_query_may_stand_without_a_name(self):
        self.assertNotIn(OTHER_KEY, self.echo(OTHER_KEY, "?" + OTHER_KEY))

    def test_a_key_in_a_query_is_in_no_message_about_the_url(self):
        for url in (
            "ftp://h/v1?key=hidden",
            "https://h:x/v1?key=hidden",
            '"https://h/v1?key=hidden"',
            "https://h/v1?key=hidden#x",
        ):
            with self.subTest(url):
                error = self.refused(ValueError, ["base_url"], Client, KEY, url)
                self.assertNotIn("hidden", str(error))
        server = self.serve(http_answer(404), [CLOSE], http_answer(200, PAGE))
        client = self.client(server.base_url + "?key=" + OTHER_KEY, max_retries=0)
        for _ in range(3):
            self.assertNotIn(OTHER_KEY, self.shown(lambda: client.complete("hi")))

    def test_a_value_that_looks_like_a_key_is_masked_under_any_name(self):
        for name in ("X-Special", "X-Gateway", "X-Signature-2"):
            with self.subTest(name):
                shown = self.echo(OTHER_KEY, extra_headers={name: OTHER_KEY})
                self.assertNotIn(OTHER_KEY, shown)

    def test_what_is_no_secret_stays_readable(self):
        for name, value in NO_SECRETS:
            with self.subTest(name):
                self.assertIn(
                    "bad " + value, self.echo(value, extra_headers={name: value})
                )
        shown = self.echo("2024-10-21-preview1", "?api-version=2024-10-21-preview1")
        self.assertIn("bad 2024-10-21-preview1", shown)

    def test_a_header_whose_name_only_sounds_like_a_key_is_none(self):
        for name in ("X-Author", "X-Max-Tokens", "X-Tokenizer", "Keyboard", "X-Title"):
            with self.subTest(name):
                client = Client("", "https://service.invalid/v1", headers={name: "one"})
                self.refused(SirayaError, ["no API key"], client.complete, "hi", "m")

    def test_a_key_may_stand_in_a_header_or_a_query_of_its_own(self):
        server = self.serve(ANSWER)
        url = server.base_url.replace("127.0.0.1", "service.invalid")
        with names_resolve_to(server.port), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for base_url, headers in (
                (url, {"Api-Key": OTHER_KEY}),
                (url, {"x-goog-api-key": OTHER_KEY}),
                (url + "?key=" + OTHER_KEY, {}),
            ):
                with self.subTest(base_url, headers=headers):
                    client = Client("", base_url, model="m", headers=headers)
                    self.assertEqual(client.complete("hi").text, "Once upon")

    def test_the_headers_of_an_answer_hold_no_key(self):
        script = [
            answer.replace(b"\r\n", b"\r\nX-Echo: Bearer %s\r\n" % KEY.encode(), 1)
            for answer in (ANSWER, STREAM)
        ]
        client = self.client(self.serve(*script))
        for streamed in (False, True):
            headers = ask(client, streamed).headers
            self.assertEqual(headers["x-echo"], "Bearer ***")

    def test_each_header_of_a_name_is_masked_by_itself(self):
        said = b"\r\nX-Echo: one\r\nX-Echo: Bearer %s\r\nX-Echo: two\r\n" % KEY.encode()
        server = self.serve(ANSWER.replace(b"\r\n", said, 1))
        headers = self.client(server).complete("hi").headers
        self.assertEqual(headers.get_all("X-Echo"), ["one", "Bearer ***", "two"])
        self.assertEqual(headers["content-type"], "application/json")

    def test_headers_that_a_trace_holds_hold_no_key_either(self):
        said = b"\r\nX-%s: Bearer %s\r\n" % ((KEY.encode(),) * 2)
        server = self.serve(ANSWER.replace(b"\r\n", said, 1))
        headers = self.client(server).complete("hi").headers
        for shown in (str(headers), repr(headers.items()), str(pickle.dumps(headers))):
            self.assertNotIn(KEY, shown)

    def test_headers_that_all_hold_the_key_cost_time_by_their_number_alone(self):
        def read(count):
            said = b"".join(b"X-%d: %s\r\n" % (n, KEY.encode()) for n in range(count))
            answer = ANSWER.replace(b"\r\n", b"\r\n" + said, 1)
            self.client(self.serve(answer)).complete("hi")

        self.assertLess(growth(read, 20, 80), 9)

    def test_a_key_that_begins_another_is_masked_with_it(self):
        keys = ["sk-0123456789", "sk-0123456789-abcdef"]
        echo = {"error": "bad " + keys[1]}
        server = self.serve(http_answer(503), http_answer(401, echo))
        client = self.client(server)
        client.api_key = lambda: keys.pop(0)
        shown = self.shown(functools.partial(client.complete, "hi"))
        self.assertIn("bad ***", shown)
        self.assertNotIn("abcdef", shown)

    def test_a_key_is_masked_as_a_url_has_it_too(self):
        server = self.serve(http_answer(401, {"error": "bad sk-abc%2Fdef%2B"}))
        client = self.client(server)
        client.api_key = "sk-abc/def+"
        shown = self.shown(functools.partial(client.complete, "hi"))
        self.assertNotIn("sk-abc", shown)

    def test_one_of_several_values_of_a_parameter_is_masked(self):
        shown = self.echo(OTHER_KEY, extra_query={"key": ["a", OTHER_KEY]})
        self.assertNotIn(OTHER_KEY, shown)

    def test_the_response_of_an_error_holds_no_key(self):
        server = self.serve(http_answer(401, {"error": "bad " + KEY}))
        try:
            self.client(server).complete("hi")
        except AuthenticationError as error:
            response = error.response
            self.assertEqual(response.json(), {"error": "bad ***"})
            self.assertEqual(response.status_code, 401)
            self.assertEqual(response.headers["content-type"], "application/json")
            self.assertNotIn(KEY, response.text + repr(response))

    def test_the_end_of_a_stream_that_could_not_be_used_is_kept_without_the_key(self):
        cut = b'data: {"id": "' + KEY.encode()
        client = self.client(self.serve(sse(ONCE, cut)))
        for name, call in self.both(client):
            with self.subTest(name):
                error = self.refused(StreamError, [], call)
                self.assertEqual(error.body, '{"id": "***')

    def test_a_key_is_masked_before_what_a_server_said_is_cut(self):
        said = "%sbad key %s" % ("x" * 150, KEY)
        for answer in (
            http_answer(401, {"error": {"message": said}}),
            http_answer(200, {"error": {"message": said}}),
            sse({"error": said}),
        ):
            client = self.client(self.serve(answer), max_retries=0)
            for name, call in self.both(client):
                with self.subTest(answer[:60], call=name):
                    self.assertNotIn("0123456789", self.shown(call))

    def test_the_repr_of_a_client_does_not_show_the_key(self):
        client = self.client(self.serve(), headers={"X-Secret": KEY})
        self.assertNotIn(KEY, repr(client))

    def test_a_placeholder_is_told_from_a_key(self):
        error = self.refused(
            ValueError, ["api_key", "placeholder"], Client, "<your key>"
        )
        self.assertNotIn("printable", str(error))

    def test_connection_errors_do_not_show_the_key(self):
        server = self.serve([CLOSE])
        client = self.client(server, max_retries=0, headers={"X-Secret": KEY})
        self.assertNotIn(KEY, self.shown(lambda: client.complete("hi")))

    def test_keys_that_cannot_be_are_refused_without_being_shown(self):
        for key in BAD_KEYS:
            with self.subTest(repr(key).replace(KEY, "KEY")):
                error = self.refused(EITHER, ["api_key"], Client, key)
                self.assertNotIn(KEY, str(error))

    def test_headers_cannot_carry_others(self):
        server = self.serve()
        call = self.client(server).complete
        for headers in BAD_HEADERS:
            with self.subTest(headers=headers):
                self.refused(EITHER, ["headers"], self.client, server, headers=headers)
                words = ["extra_headers"]
                self.refused(EITHER, words, call, "hi", extra_headers=headers)
        self.assertEqual(server.connections, 0)

    def test_a_key_over_plain_http_to_another_machine_warns_once(self):
        for host in ("service.invalid", "127.0.0.1.invalid", "localhost.invalid"):
            with self.subTest(host):
                (warning,) = self.warnings_of_two_calls("http://%s/v1" % host)
                self.assertIn(host, str(warning.message))
                self.assertNotIn(KEY, str(warning.message))
                self.assertEqual(warning.filename, __file__)

    def test_a_copy_with_other_options_does_not_warn_again(self):
        os.environ["http_proxy"] = "http://" + self.serve(ANSWER).address
        client = self.client("http://service.invalid/v1")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            client.complete("hi")
            for _ in range(3):
                client = client.with_options(max_retries=0)
                client.complete("hi")
        self.assertEqual(len(caught), 1)

    def test_a_key_over_plain_http_within_this_machine_warns_nobody(self):
        for url in ("http://localhost:81/v1", "http://127.0.0.2:81/v1"):
            with self.subTest(url):
                self.assertEqual(self.warnings_of_two_calls(url), [])

    def warnings_of_two_calls(self, url):
        """What is warned of in a whole call and a streamed one; a proxy answers."""
        os.environ["http_proxy"] = "http://" + self.serve().address
        client = self.client(url)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            client.complete("hi")
            client.stream("hi").get_final_completion()
        return caught


# === streams ==========================================================================


DONE = SSE_HEAD + framed(event(ONCE) + event(UPON) + event("[DONE]"))
CRLF = [event(data).replace(b"\n", b"\r\n") for data in (ONCE, UPON, "[DONE]")]
OVERLOADED = {"message": "overloaded", "code": 502}
NO_ARRAY = {"choices": {}}
NO_OBJECT = {"choices": [7]}
NO_DELTA = {"choices": [{"index": 0, "delta": "x"}]}
CUT_GZIP = b"".join(coded(31, event(ONCE) + event(UPON)))[:-8]
GZIP_STREAM = {"Content_Type": "text/event-stream", "Content_Encoding": "gzip"}
WITH_CHARSET = {"Content_Type": "application/json;charset=utf-8"}
NO_TYPE = DONE.replace(b"Content-Type: text/event-stream\r\n", b"") + LAST
COMPLETE_ENDS = (  # how it ends, the steps of an answer "Once upon" that is whole
    ("done", [sse(ONCE, UPON, END, "[DONE]")]),
    ("done, without a finish_reason", [sse(ONCE, UPON, "[DONE]")]),
    ("a finish_reason without done", [sse(ONCE, UPON, END)]),
    ("a finish_reason, then a close", [sse(ONCE, UPON, END, chunked=False), CLOSE]),
    ("done as the last bytes, no blank line", [sse(ONCE, UPON, b"data: [DONE]")]),
    (
        "done as the last bytes, then a close",
        [sse(ONCE, UPON, b"data: [DONE]", chunked=False), CLOSE],
    ),
    ("done behind white space", [sse(ONCE, UPON, b"data:   [DONE]\n\n")]),
    ("done, then an HTTP chunk cut", [sse(ONCE, UPON, "[DONE]")[:-2], CLOSE]),
    ("done, then a reset", [DONE, RESET]),
    ("done, then silence", [DONE, SILENCE]),
    (
        "done, then more chunks",
        [sse(ONCE, UPON, "[DONE]", chunk("!"), {"error": "late"}, b"data: {\n\n")],
    ),
    ("done, then no HTTP", [DONE + b"zzz\r\n", CLOSE]),
    (
        "usage after the finish_reason",
        [sse(ONCE, UPON, END, {"choices": [], "usage": {}}, "[DONE]")],
    ),
    (
        "comments and empty deltas between",
        [sse(b": WAIT\n\n", ONCE, chunk(), chunk(refusal=None), UPON, "[DONE]")],
    ),
    ("lines end in CRLF", [sse(*CRLF)]),
    ("the answer in one JSON body", [ANSWER]),
    (
        "JSON with a charset",
        [http_answer(200, completion("Once upon"), **WITH_CHARSET)],
    ),
    ("no Content-Type", [NO_TYPE]),
)
CUT_ENDS = (  # how it ends, the steps of an answer that is cut off after "Once upon"
    ("the stream just ends", [sse(ONCE, UPON)]),
    ("the connection just closes", [sse(ONCE, UPON, chunked=False), CLOSE]),
    ("a cut inside an event", [sse(ONCE, UPON, event(chunk("!"))[:-9])]),
    ("a cut inside done", [sse(ONCE, UPON, b"data: [DON")]),
    ("a cut inside an HTTP chunk", [BEGUN + b"ff\r\ndata: ", CLOSE]),
    ("a cut before the last HTTP chunk", [BEGUN, CLOSE]),
    ("a reset", [BEGUN, *RESET_LATER]),
    ("silence", [BEGUN, SILENCE]),
    ("an error object", [sse(ONCE, UPON, {"error": OVERLOADED}, "[DONE]")]),
    ("an error string", [sse(ONCE, UPON, {"error": "overloaded"})]),
    ("an error event", [sse(ONCE, UPON, event(OVERLOADED, event="error"), "[DONE]")]),
    (
        "an error beside a finish_reason",
        [sse(ONCE, UPON, dict(END, error=OVERLOADED), "[DONE]")],
    ),
    ("malformed JSON", [sse(ONCE, UPON, b'data: {"choices":\n\n', "[DONE]")]),
    (
        "two chunks in one event",
        [sse(ONCE, UPON, event(json.dumps(ONCE) + json.dumps(UPON)), "[DONE]")],
    ),
    ("an array", [sse(ONCE, UPON, b"data: []\n\n", "[DONE]")]),
    ("a number", [sse(ONCE, UPON, b"data: 1\n\n", "[DONE]")]),
    ("null", [sse(ONCE, UPON, b"data: null\n\n", "[DONE]")]),
    ("choices that are an object", [sse(ONCE, UPON, NO_ARRAY, "[DONE]")]),
    ("choices that are a string", [sse(ONCE, UPON, {"choices": "x"}, "[DONE]")]),
    ("a choice that is no object", [sse(ONCE, UPON, NO_OBJECT, "[DONE]")]),
    ("a delta that is no object", [sse(ONCE, UPON, NO_DELTA, "[DONE]")]),
    ("one of two choices unfinished", [sse(ONCE, chunk("x", index=1), UPON, END)]),
    ("gzip without its end", [http_answer(200, CUT_GZIP, **GZIP_STREAM)]),
    ("no HTTP chunk size", [BEGUN + b"zzz\r\n", CLOSE]),
    ("the largest HTTP chunk size", [BEGUN + b"fffffffffffffff\r\nabc", CLOSE]),
    ("too large an HTTP chunk size", [BEGUN + b"7fffffffffffffff\r\nabc", CLOSE]),
)


def is_whole(steps):
    """Whether nothing is missing of an answer by HTTP's framing."""
    return isinstance(steps[-1], bytes) and steps[-1].endswith(LAST)


ZLIB_CUT = zlib.compress(BODY.encode())[:-4]
BODIES = (  # what, the answer, words of the error, its code, text of its partial
    ("cut within the events", [BEGUN, CLOSE], "lost after 9 char", None, "Once upon"),
    ("not complete", [sse(ONCE, UPON)], "not complete", None, "Once upon"),
    ("a broken chunk", [sse(ONCE, b"data: {\n\n")], "not a chat comp", None, "Once"),
    ("a chunk of no kind", [sse(ONCE, b"data: 7\n\n")], "not a chat", None, "Once"),
    ("an error, then", [sse(ONCE, {"error": OVERLOADED})], "overl", 502, "Once"),
    ("an error event", [sse(ONCE, event("x", event="error"))], "x", None, "Once"),
    ("an error alone", [http_answer(200, {"error": OVERLOADED})], "overl", 502, ""),
    ("an error as event", [sse({"error": OVERLOADED})], "overloaded", 502, ""),
    ("no event at all", [sse("[DONE]")], "no answer", None, ""),
    ("comments alone", [sse(b": hi\n\n")], "not complete", None, ""),
    ("no choice", [http_answer(200, {"choices": []})], "no choice", None, ""),
    ("nothing", [http_answer(200)], "empty", None, ""),
    ("text", [http_answer(200, "it works!")], "it works!", None, ""),
    ("a page", [http_answer(200, PAGE)], "Welcome", None, ""),
    ("a cut document", [json_answer(BODY)[:-9], CLOSE], "lost after", None, ""),
    (
        "a cut coding",
        [json_answer(ZLIB_CUT, Content_Encoding="deflate")],
        "i",
        None,
        "",
    ),
    ("no such coding", [json_answer(BODY, Content_Encoding="br")], "br", None, ""),
    ("deep", [json_answer(nested(200, "x"))], "nested", None, ""),
    ("silence", [BEGUN, SILENCE], "timeout", None, "Once upon"),
    ("202", [http_answer(202)], "202", None, ""),
)


class SameHoweverAsked(Test):
    """A body means the same, whether it is asked for whole or as a stream."""

    def test_a_body_that_is_no_answer_is_the_same_failure_in_every_way(self):
        def check(what, steps, words, code, text):
            timeout = 0.3 if SILENCE in steps else 30
            options = {"model": "m", "timeout": timeout, "max_retries": 0}
            with StandIn(steps) as server:
                client = Client(KEY, server.base_url, **options)
                other = AsyncClient(KEY, server.base_url, **options)
                errors = [
                    self.failure(functools.partial(ask, client, streamed))
                    for streamed in (False, True)
                ]
                errors += [
                    self.failure(lambda: asyncio.run(ask_async(other, streamed)))
                    for streamed in (False, True)
                ]
                client.close()
            whole, stream = errors[:2]
            self.assertIs(type(stream), StreamError)
            self.assertEqual(isinstance(whole, StreamError), bool(text))
            for error in errors:
                said = str(error).replace(server.address, "")
                self.assertIn(words, said)
                self.assertEqual(said, str(whole).replace(server.address, ""))
                self.assertEqual(getattr(error, "code", None), code)
                self.assertEqual(error.body, whole.body)
                partial = getattr(error, "partial", None)
                self.assertEqual(partial.text if partial else "", text)

        self.side_by_side(check, BODIES)

    def failure(self, call):
        try:
            call()
        except SirayaError as error:
            return error
        self.fail("no error")


class EndsOfStreams(Test):
    def stream(self, *script):
        """A stream of a new stand-in's answer."""
        return self.client(self.serve(*script)).stream("hi")

    def broken(self, stream):
        """The error of a stream that was cut off."""
        return self.refused(StreamError, [], stream.get_final_completion)

    def test_a_stream_that_ends_as_it_should_is_complete(self):
        for name, steps in COMPLETE_ENDS:
            with self.subTest(name):
                server = self.serve(steps)
                with self.client(server).stream("hi") as stream:
                    self.assertEqual("".join(stream.text_stream), "Once upon")
                    self.assertEqual(stream.get_final_completion().text, "Once upon")
                self.assertEqual(list(stream), [])
                self.assertEqual(len(server.requests), 1)

    def test_a_stream_cut_short_raises_after_its_last_piece_and_keeps_it_all(self):
        for name, steps in CUT_ENDS:
            with self.subTest(name):
                server = self.serve(steps)
                timeout = 0.3 if steps[-1] == SILENCE else 30
                pieces = []
                with self.client(server, timeout=timeout).stream("hi") as stream:
                    with self.assertRaises(StreamError) as caught:
                        for piece in stream.text_stream:
                            pieces.append(piece)
                        self.fail("the loop ended as if the answer were complete")
                    self.broken(stream)  # again, whenever it is asked
                self.assertEqual("".join(pieces), "Once upon")
                self.assertIsInstance(caught.exception.partial, Completion)
                self.assertEqual(caught.exception.partial.text, "Once upon")
                if not is_whole(steps):  # else the connection is kept for another call
                    self.assertTrue(server.wait_closed())
                self.assertEqual(len(server.requests), 1)

    def test_a_finish_reason_of_error_is_raised_even_if_no_reason_is_given(self):
        failed = sse(ONCE, UPON, chunk(None, "error"), "[DONE]")
        stream = self.client(self.serve(failed)).stream("hi")
        error = self.refused(
            StreamError, ["no reason was given"], stream.get_final_completion
        )
        self.assertEqual(error.partial.text, "Once upon")

    def test_an_error_event_without_a_word_says_that_there_is_none(self):
        answer = [SSE_HEAD, framed(b"event: error\ndata:\n\n"), LAST]
        stream = self.client(self.serve(answer)).stream("hi")
        self.refused(StreamError, ["no reason was given"], stream.get_final_completion)

    def test_an_answer_with_all_choices_that_were_asked_for_is_complete(self):
        for n, more, count in (
            (2, ["[DONE]"], 1),
            (2, [chunk("x", "stop", index=1)], 2),
            (1, [], 1),
            (None, [], 1),
        ):
            with self.subTest(n=n, count=count):
                server = self.serve(sse(ONCE, END, *more))
                stream = self.client(server).stream("hi", n=n)
                self.assertEqual(len(stream.get_final_completion().choices), count)

    def test_an_answer_that_lacks_a_choice_and_done_is_not_complete(self):
        stream = self.client(self.serve(sse(ONCE, END))).stream("hi", n=2)
        self.assertEqual(self.broken(stream).partial.text, "Once")

    def test_a_stream_that_nobody_asked_for_lacks_a_choice_as_any_other(self):
        call = self.client(self.serve(sse(ONCE, END))).complete
        error = self.refused(StreamError, ["not complete"], call, "hi", n=2)
        self.assertEqual(error.partial.text, "Once")

    def test_a_stream_that_nobody_asked_for_and_that_fails_half_way_is_paid_once(self):
        busy = {"error": {"code": 429, "message": "busy"}}
        answer = sse(ONCE, UPON, busy)
        answer = answer.replace(b"\r\n", b"\r\nX-Request-Id: req-7\r\n", 1)
        server = self.serve(answer, ANSWER)
        call = self.client(server).complete
        error = self.refused(StreamError, ["busy"], call, "hi")
        self.assertEqual(len(server.requests), 1)
        self.assertEqual(error.partial.text, "Once upon")
        self.assertEqual(error.partial.request_id, "req-7")
        self.assertEqual((error.code, error.body), (429, busy))

    def test_a_stream_that_nobody_asked_for_is_paid_once_whatever_it_says(self):
        server = self.serve(sse({"error": {"code": 429, "message": "busy"}}), ANSWER)
        error = self.refused(
            ResponseError, ["busy"], self.client(server).complete, "hi"
        )
        self.assertEqual((error.code, len(server.requests)), (429, 1))

    def test_a_stream_that_nobody_asked_for_may_begin_with_any_field(self):
        for first in (b"retry: 3000\n\n", b"id: 1\n", b"event: message\n", b": hi\n\n"):
            with self.subTest(first):
                server = self.serve(sse(first, ONCE, UPON, END, "[DONE]"))
                self.assertEqual(self.client(server).complete("hi").text, "Once upon")

    def test_an_error_event_says_what_the_server_said(self):
        for data in ({"error": OVERLOADED}, {"error": "overloaded"}):
            stream = self.stream(sse(ONCE, data))
            words = ["overloaded"]
            error = self.refused(StreamError, words, stream.get_final_completion)
            self.assertEqual(error.body, data)

    def test_a_document_that_is_cut_short_is_handed_over(self):
        for fault in ([CLOSE], RESET_LATER):
            stream = self.stream([JSON_HEAD + framed(b'{"choices": '), *fault])
            self.assertEqual(self.broken(stream).body, '{"choices": ')

    def test_a_closed_stream_is_not_taken_for_a_whole_answer(self):
        with self.stream(HELD) as stream:
            next(iter(stream))
        self.assertEqual(self.broken(stream).partial.text, "Once")

    def test_an_answer_asked_for_on_a_nearly_full_stack_is_whole_or_an_error(self):
        def from_depth(depth):
            if depth:
                return from_depth(depth - 1)
            return stream.get_final_completion()

        stream = self.stream(sse(ONCE, chunk(deep=nested(90, "x")), "[DONE]"))
        self.assertEqual(next(stream), ONCE)
        try:
            answer = from_depth(sys.getrecursionlimit() - 400)
        except StreamError as error:
            answer = error.partial
        self.assertEqual(answer.text, "Once")

    def test_an_iterator_that_outlives_a_failure_cannot_make_the_answer_whole(self):
        block = b"".join(map(event, (ONCE, "{", UPON, END, "[DONE]")))
        stream = self.stream(SSE_HEAD + framed(block) + LAST)
        held = iter(stream)
        self.assertEqual(next(held), ONCE)
        for again in (lambda: list(stream), lambda: list(held)):
            self.assertEqual(self.refused(StreamError, [], again).partial.text, "Once")
        self.assertEqual(self.broken(stream).partial.text, "Once")

    @unittest.skipUnless(hasattr(signal, "setitimer"), "needs POSIX timers")
    def test_a_stream_whose_reading_was_interrupted_is_no_whole_answer(self):
        def interrupt(_, frame):
            if is_inside_the_module(frame):
                raise KeyboardInterrupt

        go_on = threading.Event()
        rest = framed(event(END) + event("[DONE]")) + LAST
        stream = self.stream([BEGUN, go_on, rest])
        chunks = iter(stream)
        self.assertEqual([next(chunks), next(chunks)], [ONCE, UPON])
        before = signal.signal(signal.SIGALRM, interrupt)
        self.addCleanup(signal.signal, signal.SIGALRM, before)
        with self.assertRaises(KeyboardInterrupt):
            signal.setitimer(signal.ITIMER_REAL, 0.2, 0.2)
            try:
                next(chunks)
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
        go_on.set()
        for again in (lambda: list(stream), stream.get_final_completion):
            error = self.refused(StreamError, ["interrupted"], again)
            self.assertEqual(error.partial.text, "Once upon")


LEFT_OPEN = """\
from siraya_chat import Client
client = Client(model="m")
stream = client.stream("hi")
print(next(iter(stream)).choices[0].delta.content)
"""


class Cancelling(Test):
    def check_leaving(self, leave):
        """The request ends, and its connection is closed, not drained and kept."""
        server = self.serve(HELD, ANSWER)
        client = self.client(server)
        leave(client.stream("hi"))
        gc.collect()
        self.assertTrue(server.wait_closed())
        client.complete("hi")
        self.assertEqual(server.connections, 2)

    def test_close_ends_the_request(self):
        def close(stream):
            next(iter(stream))
            stream.close()

        self.check_leaving(close)

    def test_leaving_a_with_block_ends_the_request(self):
        def leave(stream):
            with stream:
                for _ in stream:
                    break

        self.check_leaving(leave)

    def test_an_exception_in_a_with_block_ends_the_request(self):
        def leave_by_exception(stream):
            with contextlib.suppress(KeyError), stream:
                for _ in stream.text_stream:
                    raise KeyError

        self.check_leaving(leave_by_exception)

    def test_dropping_a_stream_ends_the_request(self):
        def drop(stream):
            for _ in stream.text_stream:
                break

        self.check_leaving(drop)

    def test_a_stream_that_is_never_read_ends_the_request_too(self):
        def never_begin(stream):
            with stream:
                pass

        self.check_leaving(never_begin)

    def test_close_wakes_a_reader_in_another_thread(self):
        server = self.serve(HELD)
        for _ in range(5):
            self.assert_close_wakes_a_reader(self.client(server), server)

    @unittest.skipUnless(hasattr(signal, "setitimer"), "needs POSIX timers")
    def test_the_handler_of_a_signal_can_close_the_stream_that_it_interrupts(self):
        server = self.serve(HELD)
        stream = self.client(server).stream("hi")
        chunks = iter(stream)
        self.assertEqual(next(chunks), ONCE)
        before = signal.signal(signal.SIGALRM, lambda *_: stream.close())
        self.addCleanup(signal.signal, signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        self.refused(StreamError, ["closed"], list, chunks)
        self.assertTrue(server.wait_closed())

    @unittest.skipUnless(sys.platform == "linux", "needs a listener that never answers")
    def test_a_signal_that_interrupts_connecting_leaves_no_socket_open(self):
        def interrupt(*_):
            raise KeyboardInterrupt

        before = signal.signal(signal.SIGALRM, interrupt)
        self.addCleanup(signal.signal, signal.SIGALRM, before)
        with contextlib.ExitStack() as stack:
            listener = stack.enter_context(socket.socket())
            listener.bind(("127.0.0.1", 0))
            listener.listen(0)
            for _ in range(4):  # fill the queue: from now on nothing is answered
                filler = stack.enter_context(socket.socket())
                filler.setblocking(False)
                filler.connect_ex(listener.getsockname())
            client = self.client("http://127.0.0.1:%d/v1" % listener.getsockname()[1])
            gc.collect()  # what others have left behind
            warned = stack.enter_context(warnings.catch_warnings(record=True))
            warnings.simplefilter("always")
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            with self.assertRaises(KeyboardInterrupt):
                client.complete("hi")
            gc.collect()
        self.assertEqual(warned, [])

    @unittest.skipUnless(hasattr(signal, "setitimer"), "needs POSIX timers")
    def test_a_call_that_a_signal_interrupts_ends_its_request(self):
        def interrupt(*_):
            raise KeyboardInterrupt

        before = signal.signal(signal.SIGALRM, interrupt)
        self.addCleanup(signal.signal, signal.SIGALRM, before)
        server = self.serve([ANSWER[:-1], SILENCE])
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with self.assertRaises(KeyboardInterrupt):
            self.client(server).complete("hi")
        self.assertTrue(server.wait_closed())

    def test_closing_ends_the_wait_for_a_document_too(self):
        server = self.serve([JSON_HEAD + framed(b'{"choices": '), SILENCE])
        stream = self.client(server).stream("hi")
        with ThreadPoolExecutor(1) as thread:
            reading = thread.submit(list, stream)
            self.assertTrue(server.wait_asked())
            stream.close()
            self.refused(StreamError, ["closed"], reading.result, 20)
        self.assertTrue(server.wait_closed())

    @unittest.skipUnless(hasattr(os, "fork"), "needs fork")
    def test_a_forked_child_can_close_a_stream_that_its_parent_is_reading(self):
        server = self.serve(HELD)
        stream, arrived = self.client(server).stream("hi"), threading.Event()
        with ThreadPoolExecutor(1) as thread:
            reading = thread.submit(lambda: [arrived.set() for _ in stream])
            self.assertTrue(arrived.wait(20))
            with warnings.catch_warnings():
                # Newer versions warn of any fork beside threads.
                warnings.simplefilter("ignore")
                child = os.fork()
            if not child:
                stream.close()
                os._exit(7)
            watchdog = threading.Timer(20, os.kill, (child, signal.SIGTERM))
            watchdog.start()
            self.assertEqual(os.waitpid(child, 0)[1] >> 8, 7)
            watchdog.cancel()
            self.assertFalse(server.closed, "the child has ended its parent's request")
            stream.close()
            self.refused(StreamError, ["closed"], reading.result, 20)

    def test_closing_twice_and_after_the_end_is_harmless(self):
        with self.client(self.serve(STREAM)).stream("hi") as stream:
            stream.get_final_completion()
            stream.close()
            stream.close()
        self.assertEqual(stream.get_final_completion().text, "Once upon")

    def test_an_interpreter_that_ends_with_an_open_stream_says_nothing(self):
        server = self.serve(HELD)
        command = (sys.executable, "-X", "dev", "-c", LEFT_OPEN)
        outcome = run_process(server, *command)
        self.assertEqual(outcome, (0, "Once\n", ""))
        self.assertTrue(server.wait_closed())


# === bounded calls ====================================================================


def forever(begin, piece, pause=0.02):
    """The script of a server that says *begin*, then *piece* again and again, until a
    call that should have given up long ago is to fail."""

    def script(received):
        until = time.monotonic() + 60
        pieces = itertools.cycle([piece, pause])
        bounded = itertools.takewhile(lambda _: time.monotonic() < until, pieces)
        return itertools.chain([begin], bounded, [CLOSE])

    return script


def drip(begin, rest, pause=0.05):
    """The script of a server that says *begin*, then *rest* byte by byte."""

    def script(received):
        return itertools.chain([begin], *([b"%c" % byte, pause] for byte in rest))

    return script


@contextlib.contextmanager
def fork_without_warning():
    """While it lasts, newer versions do not warn of a fork beside threads."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


ON_LINUX = unittest.skipUnless(sys.platform == "linux", "needs Linux's /proc")
CAN_FORK = unittest.skipUnless(hasattr(os, "fork"), "needs fork")
PING = b'event: ping\ndata: {"type": "ping"}\n\n'
HEARTBEATS = (  # what a server sends that has nothing to say, its bytes
    ("comments", framed(b": still here\n\n")),
    ("comments without an end", framed(b": still here ")),
    ("events without data", framed(b"event: x\nid: 1\n\n")),
    ("empty data", framed(b"data:\n\n")),
    ("empty data after a space", framed(b"data: \n\n")),
    ("white data", framed(b"data:   \n\n")),
    ("pings", framed(PING)),
    ("retry", framed(b"retry: 10\n\n")),
    ("line ends", framed(b"\n")),
    ("heads of chunks", b"1;" + b"x" * 10 + b"\r\n\n\r\n"),
)
CUT_HEARTBEATS = (  # what, its pieces, which come again and again
    ("pings", (b'event: ping\ndata: {"type"', b': "ping"}\n\n')),
    ("white data", (b"data:  ", b"   ", b"\n\n")),
)
DRIPS = (  # what never ends, whether it is streamed, its script
    ("no head", False, [SILENCE]),
    ("no head of a stream", True, [SILENCE]),
    ("a head", False, drip(b"HTTP/1.1 200 OK\r\nX: ", b"x" * 400)),
    ("a head of a stream", True, drip(b"HTTP/1.1 200 OK\r\nX: ", b"x" * 400)),
    ("interim answers", False, forever(b"", b"HTTP/1.1 102 Processing\r\n\r\n", 0.2)),
    ("a body", False, drip(http_answer(200, b" " * 400)[:-400], b" " * 400)),
    ("a chunked body", False, forever(JSON_HEAD, framed(b" "))),
    ("a head of a chunk", False, drip(JSON_HEAD + b"1;", b"x" * 400)),
    ("trailers", False, forever(JSON_HEAD + framed(BODY.encode()) + b"0\r\n", b"x: y")),
    ("events", True, forever(SSE_HEAD, framed(event(ONCE)))),
    ("a line", True, forever(SSE_HEAD + framed(b"data: "), framed(b"x"))),
    ("a document for a stream", True, forever(SSE_HEAD + framed(b"{"), framed(b" "))),
)


LATE = 30.0  # seconds: the deadline of calls that another limit should have ended


class TimeLimits(Test):
    def seconds_of(self, error, words, call):
        """How long a call takes to fail so."""
        before = time.monotonic()
        self.refused(error, words, call)
        return time.monotonic() - before

    def all_seconds_of(self, cases):
        """The same of many calls at a time: (what, error, words, call) each."""
        with ThreadPoolExecutor(len(cases)) as threads:
            calls = [threads.submit(self.seconds_of, *case[1:]) for case in cases]
        for case, call in zip(cases, calls):
            with self.subTest(case[0]):
                yield call.result()

    def test_what_says_nothing_does_not_reset_the_timeout(self):
        cases = []
        for name, heartbeat in HEARTBEATS:
            server = self.serve(forever(SSE_HEAD, heartbeat))
            client = self.client(server, timeout=0.4, deadline=LATE)
            call = functools.partial(ask, client, True)
            cases.append((name, StreamError, ["(timeout)"], call))
        for taken in self.all_seconds_of(cases):
            self.assertGreater(taken, 0.3)
            self.assertLess(taken, 10)

    def test_a_heartbeat_that_is_cut_within_its_data_does_not_reset_the_timeout(self):
        cases = []
        for name, pieces in CUT_HEARTBEATS:
            steps = itertools.chain(*([framed(piece), 0.1] for piece in pieces))
            server = self.serve([SSE_HEAD, *list(steps) * 20, SILENCE])
            client = self.client(server, timeout=0.4, deadline=LATE)
            call = functools.partial(ask, client, True)
            cases.append((name, StreamError, ["(timeout)"], call))
        for taken in self.all_seconds_of(cases):
            self.assertLess(taken, 3)  # else it is the silence after the heartbeats

    def test_the_deadline_holds_while_an_answer_that_was_kept_is_read_to_its_end(self):
        self.limit(DRAIN_SECONDS=20)
        open_ended = [SSE_HEAD + framed(event(ONCE) + event("[DONE]")), SILENCE]
        client = self.client(self.serve(open_ended, ANSWER))
        ask(client, True)
        self.assertEqual(client.complete("hi", deadline=1).text, "Once upon")

    def test_what_had_arrived_before_the_heartbeats_is_the_partial(self):
        server = self.serve(forever(BEGUN, framed(b":\n\n")))
        client = self.client(server, timeout=0.2, deadline=LATE)
        call = functools.partial(ask, client, True)
        error = self.refused(StreamError, ["(timeout)"], call)
        self.assertEqual(error.partial.text, "Once upon")

    def test_a_slow_event_that_moves_is_an_answer(self):
        rest = event(UPON)
        pieces = [rest[start : start + 10] for start in range(0, len(rest), 10)]
        self.assertGreater(0.045 * len(pieces), 0.7)  # longer than the timeout
        steps = [[framed(piece), 0.045] for piece in pieces]
        ending = framed(event(END) + event("[DONE]")) + LAST
        server = self.serve([SSE_HEAD, *itertools.chain(*steps), ending])
        reply = ask(self.client(server, timeout=0.6), True)
        self.assertEqual(reply.text, " upon")

    def test_the_time_that_the_reader_takes_does_not_count(self):
        go_on = threading.Event()
        first = framed(b": more to come\n\n" + event(ONCE))
        steps = [SSE_HEAD, first, go_on, framed(event(UPON))]
        steps.append(framed(event(END) + event("[DONE]")) + LAST)
        stream = self.client(self.serve(steps), timeout=0.6).stream("hi")
        texts = stream.text_stream
        self.assertEqual(next(texts), "Once")
        go_on.set()
        time.sleep(0.7)
        self.assertEqual([*texts], [" upon"])

    def test_nothing_outlives_the_deadline(self):
        cases = []
        for name, streamed, script in DRIPS:
            # Before the head has come there is no stream.
            error = APITimeoutError if "head of" in name else StreamError
            error = error if streamed else APITimeoutError
            client = self.client(self.serve(script), deadline=0.5)
            call = functools.partial(ask, client, streamed)
            cases.append((name, error, ["deadline"], call))
        for taken in self.all_seconds_of(cases):
            self.assertGreater(taken, 0.4)
            self.assertLess(taken, 10)

    def test_the_deadline_of_a_call_goes_before_the_clients(self):
        client = self.client(self.serve([SILENCE]), deadline=600.0)
        call = functools.partial(client.complete, "hi", deadline=0.2)
        self.assertLess(self.seconds_of(APITimeoutError, ["0.2 s"], call), 10)

    def test_none_takes_the_clients_deadline_away(self):
        client = self.client(self.serve([0.2, ANSWER]), deadline=0.1)
        self.assertEqual(client.complete("hi", deadline=None).text, "Once upon")

    def test_the_deadline_counts_while_the_reader_works(self):
        stream = self.client(self.serve(HELD), deadline=0.3).stream("hi")
        next(stream)
        time.sleep(0.4)
        error = self.refused(StreamError, ["deadline"], next, stream)
        self.assertEqual(error.partial.text, "Once")

    def test_a_body_that_is_late_comes_with_the_error(self):
        server = self.serve(forever(http_answer(200, BODY)[:-9], b""))
        call = self.client(server, deadline=0.3).complete
        error = self.refused(APITimeoutError, ["deadline"], call, "hi")
        self.assertEqual(error.body, BODY[:-9])

    def test_an_error_whose_body_drips_ends_at_the_deadline(self):
        head = http_answer(400, "bad", Content_Length=1000)
        client = self.client(self.serve(forever(head, b" ")), deadline=0.3)
        call = functools.partial(client.complete, "hi")
        self.assertLess(self.seconds_of(BadRequestError, ["bad"], call), 10)

    def test_the_deadline_holds_while_connecting(self):
        server = self.serve(greeting=[SILENCE])
        url = server.base_url.replace("http", "https")
        call = functools.partial(self.client(url, deadline=0.2).complete, "hi")
        self.assertLess(self.seconds_of(APITimeoutError, ["deadline"], call), 9)

    def test_the_deadline_holds_at_a_proxy_that_drips(self):
        head = b"HTTP/1.1 200 OK\r\nX: "
        proxy = self.serve(drip(head, b"x" * 400))
        cases = []
        for scheme in ("http", "https"):
            url = scheme + "://127.0.0.1:1/v1"
            client = self.client(url, proxy="http://" + proxy.address, deadline=0.2)
            call = functools.partial(client.complete, "hi")
            cases.append((scheme, APITimeoutError, ["deadline", "proxy"], call))
        for taken in self.all_seconds_of(cases):
            self.assertLess(taken, 9)

    def test_a_proxy_that_drips_does_not_outlive_connect_timeout(self):
        proxy = self.serve(drip(b"HTTP/1.1 200 OK\r\nX: ", b"x" * 400))
        options = {"proxy": "http://" + proxy.address, "connect_timeout": 0.2}
        client = self.client("https://127.0.0.1:1/v1", max_retries=0, **options)
        call = functools.partial(client.complete, "hi")
        self.assertLess(self.seconds_of(APITimeoutError, ["connect_timeout"], call), 9)

    def test_both_limits_hold_while_sending(self):
        go_on = threading.Event()
        server = self.serve(greeting=[go_on])  # which reads nothing
        self.addCleanup(go_on.set)  # before the server ends
        cases = []
        for name in ("timeout", "deadline"):
            client = self.client(server, max_retries=0, **{name: 0.3})
            call = functools.partial(client.complete, "x" * (12 << 20))
            cases.append((name, APITimeoutError, [name], call))
        for taken in self.all_seconds_of(cases):
            self.assertLess(taken, 9)

    def test_waiting_between_attempts_ends_at_the_deadline(self):
        self.limit(MIN_BACKOFF=0.05, MAX_BACKOFF=0.05)
        server = self.serve(http_answer(429))
        client = self.client(server, deadline=0.3, max_retries=400)
        call = functools.partial(client.complete, "hi")
        # The deadline may also end an attempt.
        error = (RateLimitError, APITimeoutError)
        self.assertLess(self.seconds_of(error, ["tried"], call), 9)

    def test_a_pause_beyond_the_deadline_is_raised_at_once(self):
        server = self.serve(http_answer(429, "", Retry_After="30"))
        call = self.client(server, deadline=20.0).complete
        error = self.refused(RateLimitError, [], call, "hi")
        self.assertEqual((error.retry_after, len(server.requests)), (30.0, 1))

    @ON_LINUX
    def test_an_upload_that_moves_slowly_is_not_given_up(self):
        body = "x" * (3 << 20)
        taken = []

        def serve_slowly(listener):
            with listener.accept()[0] as connection:
                begun = time.monotonic()
                head = b""
                while b"\r\n\r\n" not in head:
                    head += connection.recv(1)
                left = int(re.search(rb"(?i)length: (\d+)", head).group(1))
                while left:
                    is_slow = time.monotonic() - begun < 0.8
                    left -= len(connection.recv(4096 if is_slow else 1 << 20))
                    time.sleep(0.02 if is_slow else 0)
                taken.append(time.monotonic() - begun)
                connection.sendall(ANSWER)

        with socket.socket() as listener, ThreadPoolExecutor(1) as thread:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            listener.bind(("127.0.0.1", 0))
            listener.listen(1)
            thread.submit(serve_slowly, listener)
            url = "http://127.0.0.1:%d/v1" % listener.getsockname()[1]
            client = self.client(url, timeout=0.6, max_retries=0)
            self.assertEqual(client.complete(body).text, "Once upon")
        self.assertGreater(taken[0], 0.7)  # longer than the timeout

    def test_idle_connections_that_stay_silent_do_not_delay_the_next_call(self):
        self.limit(DRAIN_SECONDS=LIMITS["DRAIN_SECONDS"])
        server = self.serve(*[[DONE, SILENCE]] * 32, ANSWER)
        client = self.client(server)
        streams = [client.stream("hi") for _ in range(32)]
        for stream in streams:
            stream.get_final_completion()
        before = time.monotonic()
        self.assertEqual(client.complete("hi").text, "Once upon")
        self.assertLess(time.monotonic() - before, 2)  # it was 3.2


GATES = (  # status of a proxy's answer, how many connections two retries make
    (401, 1),
    (403, 1),
    (407, 1),
    (408, 3),
    (429, 3),
    (502, 3),
    (503, 3),
    (504, 3),
)
UNUSABLE_HEADS = (  # what, a line of the head of an answer 200
    ("a length that is no number", b"Content-Length: x"),
    ("a negative length", b"Content-Length: -1"),
    ("two lengths", b"Content-Length: 1, 2"),
    ("an endless length", b"Content-Length: " + b"9" * 5000),
    ("an unknown transfer coding", b"Transfer-Encoding: gzip"),
    ("an endless header", b"X: " + b"x" * 70000),
    ("a thousand headers", b"\r\n".join([b"X: y"] * 1000)),
    ("an unknown content coding", b"Content-Encoding: br"),
)


BUSY = http_answer(503)
BEGUN_HEADS = (  # what the server says before it closes: it has begun to answer
    ("half a status line", b"HTTP/1.1 20"),
    ("a blank line first", b"\r\n" + ANSWER),
    ("another protocol", b"ICY 200 OK\r\n\r\n" + BODY.encode()),
    ("lower case", ANSWER.replace(b"HTTP/1.1", b"http/1.1")),
    ("a status of four digits", ANSWER.replace(b"200", b"1000", 1)),
    ("a status that is no number", ANSWER.replace(b"200", b"2xx", 1)),
    ("a bare body", BODY.encode()),
    ("events without a head", STREAM[len(SSE_HEAD) :]),
    ("102, then the end", b"HTTP/1.1 102 Processing\r\n\r\n"),
    ("103, then the end", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"),
    ("100, then the end", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ("101", b"HTTP/1.1 101 Switching Protocols\r\n\r\n"),
    ("half a header", b"HTTP/1.1 200 OK\r\nContent-Le"),
    ("half the head of a 503", b"HTTP/1.1 503 No\r\nContent-Le"),
    ("half a body", ANSWER[:-5]),
    ("an unknown version", ANSWER.replace(b"HTTP/1.1", b"HTTP/9.9")),
    ("a version of two digits", BUSY.replace(b"HTTP/1.1", b"HTTP/1.10")),
    ("a version that is none", BUSY.replace(b"HTTP/1.1", b"HTTP/1.x")),
    ("a status line that goes on", BUSY.replace(b" Service", b"x Service")),
    ("a bare CR in a header", BUSY.replace(b"\r\n", b"\r\nX: a\rb\r\n", 1)),
    ("a status beyond all", http_answer(600)),
    ("one byte", b"H"),
)


class PayingOnce(Test):
    def test_a_request_whose_answer_has_begun_is_not_sent_again(self):
        def check(what, said):
            with StandIn([said, CLOSE]) as server:
                client = Client(KEY, server.base_url, model="m", timeout=30)
                for streamed in (False, True):
                    with self.assertRaises(SirayaError):
                        ask(client, streamed)
                client.close()
                self.assertEqual(len(server.requests), 2)

        self.side_by_side(check, BEGUN_HEADS)

    def test_a_request_of_which_no_byte_came_back_is_sent_again(self):
        for fault in ([CLOSE], [RESET]):
            server = self.serve(fault, fault, ANSWER)
            with self.subTest(fault):
                self.assertEqual(self.client(server).complete("hi").text, "Once upon")
                self.assertEqual(len(server.requests), 3)

    def test_what_a_gateway_gave_up_is_not_sent_again(self):
        for status in (504, 524):
            server = self.serve(http_answer(status), ANSWER)
            with self.subTest(status):
                call = self.client(server).complete
                self.refused(InternalServerError, [str(status)], call, "hi")
                self.assertEqual(len(server.requests), 1)

    def test_a_kept_connection_that_has_ended_uses_up_no_retry_and_no_time(self):
        self.limit(MIN_BACKOFF=30.0, MAX_BACKOFF=30.0)
        server = self.serve([ANSWER, CLOSE], [ANSWER, RESET], ANSWER)
        client = self.client(server, max_retries=0)
        for _ in range(3):
            self.assertEqual(client.complete("hi").text, "Once upon")
            server.wait_closed(1)


class EarlyAnswers(Test):
    """Answers that come while the request is still going out."""

    LARGE = "x" * (48 << 20)  # more than the buffers on the way hold

    def check(self, answer, **options):
        """A large request is answered early by a server that then stays silent."""
        held = threading.Event()
        server = self.serve([answer, held], early=True, **options)
        self.addCleanup(held.set)
        try:
            # Were it not noticed, the sending would end with the time limit.
            return self.client(server, timeout=5).complete(self.LARGE)
        finally:
            self.assertEqual(len(server.requests), 1)
            held.set()

    def test_a_refusal_ends_the_sending_and_is_read(self):
        for status, kind in ((413, APIStatusError), (401, AuthenticationError)):
            with self.subTest(status):
                refusal = http_answer(status, REFUSAL)
                self.refused(kind, ["bad model"], self.check, refusal)

    def test_an_answer_ends_the_sending_and_is_read(self):
        self.assertEqual(self.check(ANSWER).text, "Once upon")

    def test_an_interim_answer_is_none(self):
        interim = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
        self.assertEqual(self.check(interim * 3 + ANSWER).text, "Once upon")

    def test_an_interim_answer_does_not_stop_an_upload(self):
        interim = b"HTTP/1.1 102 Processing\r\n\r\n"
        server = self.serve(ANSWER, greeting=[interim], keep=0)
        self.assertEqual(self.client(server).complete(self.LARGE).text, "Once upon")

    def test_a_server_that_closes_within_an_interim_answer_is_noticed(self):
        server = self.serve([b"HTTP/1.1 102 Pro", CLOSE], early=True)
        call = self.client(server, timeout=30, max_retries=0).complete
        error = self.refused(APIConnectionError, [], call, self.LARGE)
        self.assertNotIn("timeout", str(error))

    def test_interim_answers_without_end_do_not_hold_the_sending(self):
        head = b"HTTP/1.1 103 X\r\nA: "
        for what, begin, piece in (
            ("drips", head, b"x"),
            ("one after the other", b"", head + b"x\r\n\r\n"),
        ):
            server = self.serve(forever(begin, piece, 0.1), early=True)
            call = self.client(server, timeout=0.5, max_retries=0).complete
            with self.subTest(what):
                error = self.refused(APITimeoutError, ["0.5 s"], call, self.LARGE)
                self.assertNotIn("deadline", str(error))

    def test_a_large_interim_answer_costs_time_by_its_bytes_alone(self):
        flood = [b"HTTP/1.1 103 X\r\nA: ", *[b"x" * 4096] * 500]
        server = self.serve([*flood, CLOSE], early=True)
        call = self.client(server, max_retries=0).complete
        before = time.process_time()
        self.refused(APIConnectionError, [], call, self.LARGE)
        self.assertLess(time.process_time() - before, 3)

    def test_the_connection_is_not_used_again(self):
        server = self.serve([ANSWER, 0.2, CLOSE], ANSWER, early=True)
        client = self.client(server)
        client.complete(self.LARGE)
        server.wait_closed()
        self.assertEqual(server.connections, 1)


class SendingAgain(Test):
    def test_a_request_that_was_sent_whole_and_timed_out_is_not_sent_again(self):
        server = self.serve([SILENCE])
        client = self.client(server, timeout=0.1)
        for name, call in self.both(client):
            with self.subTest(name):
                self.refused(APITimeoutError, ["timeout"], call)
        self.assertEqual(len(server.requests), 2)

    def test_a_connection_that_timed_out_is_tried_again(self):
        server = self.serve(greeting=[SILENCE])
        url = server.base_url.replace("http", "https")
        client = self.client(url, connect_timeout=0.1)
        self.refused(APITimeoutError, ["tried 3 times"], client.complete, "hi")
        self.assertEqual(server.connections, 3)

    def test_a_proxy_that_closes_within_its_answer_is_asked_again(self):
        proxy = self.serve([b"HTTP/1.1 200 OK\r\n", CLOSE])
        options = {"proxy": "http://" + proxy.address, "max_retries": 1}
        call = self.client("https://127.0.0.1:1/v1", **options).complete
        error = self.refused(APIConnectionError, [proxy.address], call, "hi")
        self.assertNotIn("200", str(error))
        self.assertEqual(proxy.connections, 2)

    def test_what_a_proxy_refuses_for_good_is_asked_once(self):
        for status, times in GATES:
            proxy = self.serve(http_answer(status, "", Connection="close"))
            options = {"proxy": "http://user:secret@" + proxy.address}
            client = self.client("https://127.0.0.1:1/v1", **options)
            with self.subTest(status):
                words = [str(status), proxy.address]
                error = self.refused(APIConnectionError, words, client.complete, "hi")
                self.assertNotIn("secret", str(error))
                self.assertEqual(len(proxy.requests), times)

    def test_a_plain_proxys_407_is_not_tried_again(self):
        proxy = self.serve(http_answer(407))
        url, options = "http://127.0.0.1:1/v1", {"proxy": "http://" + proxy.address}
        self.refused(
            APIStatusError, ["407"], self.client(url, **options).complete, "hi"
        )
        self.assertEqual(len(proxy.requests), 1)

    def test_an_answer_200_that_cannot_be_used_is_not_asked_for_again(self):
        for name, line in UNUSABLE_HEADS:
            head = b"HTTP/1.1 200 OK\r\n" + line + b"\r\n\r\n"
            for streamed in (False, True):
                server = self.serve([head, CLOSE])
                with self.subTest(name, streamed=streamed):
                    with self.assertRaises(SirayaError):
                        ask(self.client(server), streamed)
                    self.assertEqual(len(server.requests), 1)

    def test_two_lengths_that_differ_are_refused_and_the_request_is_paid_once(self):
        more = b"\r\nContent-Length: 1\r\n\r\n"
        server = self.serve(ANSWER.replace(b"\r\n\r\n", more, 1))
        call = self.client(server).complete
        self.refused(APIConnectionError, ["Content-Length"], call, "hi")
        self.assertEqual(len(server.requests), 1)

    def test_an_error_says_how_often_and_how_long_it_was_tried(self):
        server = self.serve(http_answer(503, x_request_id="req-7"))
        call = self.client(server, max_retries=3).complete
        error = self.refused(
            InternalServerError, ["tried 4 times", "req-7"], call, "hi"
        )
        self.assertRegex(str(error), r"in \d+\.\d+ s")

    def test_an_error_of_a_single_attempt_counts_nothing(self):
        error = self.refused(
            BadRequestError,
            [],
            self.client(self.serve(http_answer(400))).complete,
            "hi",
        )
        self.assertNotIn("tried", str(error))

    def test_a_fault_in_the_programs_own_function_is_no_failure_of_the_network(self):
        asked = []

        def key():
            asked.append(1)
            raise AttributeError("of the program")

        client = self.client(self.serve())
        client.api_key = key
        with self.assertRaisesRegex(AttributeError, "of the program"):
            client.complete("hi")
        self.assertEqual(len(asked), 1)


class Watching(Test):
    def records(self, client, *calls):
        """The log of these calls, which may fail: (level, text)."""
        with self.assertLogs("siraya_chat", level="DEBUG") as log:
            for call in calls:
                with contextlib.suppress(SirayaError):
                    call()
        return [(record.levelname, record.getMessage()) for record in log.records]

    def test_each_attempt_is_logged_with_what_a_person_would_ask(self):
        server = self.serve(http_answer(503, x_request_id="req-1"), ANSWER)
        client = self.client(server)
        records = self.records(client, lambda: client.complete("hi"))
        attempts = [text for level, text in records if "POST" in text]
        self.assertEqual(len(attempts), 2)
        for text, status in zip(attempts, ("503", "200")):
            self.assertIn(server.base_url + "/chat/completions", text)
            self.assertIn(status, text)
            self.assertRegex(text, r"\d\.\d+ s")
            self.assertIn("%d bytes" % len(server.requests[0].body), text)
        self.assertIn("req-1", attempts[0])

    def test_an_attempt_without_an_answer_is_logged_too(self):
        client = self.client(self.serve([CLOSE]), max_retries=0)
        records = self.records(client, lambda: client.complete("hi"))
        self.assertIn("APIConnectionError", records[-1][1])

    def test_a_request_that_was_not_sent_is_logged_with_no_bytes(self):
        with unused_port() as port:
            client = self.client("http://127.0.0.1:%d/v1" % port, max_retries=0)
            records = self.records(client, lambda: client.complete("hi"))
        self.assertIn("0 bytes sent", records[-1][1])

    def test_a_retry_is_logged_at_info_with_its_reason_and_its_wait(self):
        client = self.client(self.serve(http_answer(503), [CLOSE], ANSWER))
        records = self.records(client, lambda: client.complete("hi"))
        retries = [text for level, text in records if level == "INFO"]
        self.assertEqual(len(retries), 2)
        self.assertIn("503", retries[0])
        for text in retries:
            self.assertRegex(text, r"\d+\.\d+ s")
        others = {level for level, text in records if text not in retries}
        self.assertEqual(others, {"DEBUG"})

    def test_the_log_holds_no_secret_and_nothing_of_what_was_said(self):
        proxy = self.serve(
            http_answer(503, {"error": KEY}, x_request_id=KEY), [CLOSE], ANSWER, STREAM
        )
        url = "http://127.0.0.1:1/v1?code=hidden1"
        client = self.client(url, proxy="http://user:hidden2@" + proxy.address)
        options = {"extra_query": {"q": "hidden3"}}
        options["extra_headers"] = {"X-Api-Key": "hidden4", "X-Other": "hidden5"}
        records = self.records(
            client,
            lambda: client.complete("hidden6", **options),
            lambda: client.stream("hidden6", **options).get_final_completion(),
        )
        self.assertEqual(len(proxy.requests), 4)
        text = "\n".join(text for _, text in records)
        for secret in (KEY, "hidden", "user:", "Once"):
            self.assertNotIn(secret, text)

    def test_logging_is_not_imported_for_the_log(self):
        program = (
            "import sys\nfrom siraya_chat import Client\nClient(model='m').complete('')"
            "\nprint('logging' in sys.modules)"
        )
        server = self.serve(ANSWER)
        outcome = run_process(server, sys.executable, "-c", program)
        self.assertEqual((outcome.out.strip(), outcome.err), ("False", ""))

    def answers(self):
        """A whole answer, a streamed one, and the stream itself."""
        head = b"HTTP/1.1 200 OK\r\nX-Request-Id: req-9\r\n"
        script = [
            answer.replace(b"HTTP/1.1 200 OK\r\n", head) for answer in (ANSWER, STREAM)
        ]
        client = self.client(self.serve(*script))
        whole, stream = client.complete("hi"), client.stream("hi")
        return whole, stream.get_final_completion(), stream

    def test_an_answer_knows_its_request_id_and_its_headers(self):
        for answer in self.answers():
            with self.subTest(type(answer).__name__):
                self.assertEqual(answer.request_id, "req-9")
                self.assertEqual(answer.headers["X-REQUEST-ID"], "req-9")

    def test_request_id_and_headers_are_no_keys(self):
        for answer in self.answers()[:2]:
            self.assertFalse({"request_id", "headers"} & set(answer))
            self.assertNotIn("req-9", json.dumps(answer))
            self.assertNotIn("request_id", answer.model_dump())

    def test_request_id_and_headers_survive_pickle_and_copy(self):
        for answer in self.answers()[:2]:
            for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
                twin = pickle.loads(pickle.dumps(answer, protocol))
                self.assertEqual(twin.request_id, "req-9")
                self.assertEqual(twin.headers["x-request-ID"], "req-9")
            for twin in (copy.copy(answer), copy.deepcopy(answer)):
                self.assertEqual(twin.request_id, "req-9")
                self.assertEqual(twin.headers["x-request-ID"], "req-9")

    def test_what_had_arrived_of_a_stream_has_its_request_id(self):
        steps = [BEGUN.replace(b"OK\r\n", b"OK\r\nX-Request-Id: req-9\r\n"), CLOSE]
        stream = self.client(self.serve(steps)).stream("hi")
        error = self.refused(StreamError, [], stream.get_final_completion)
        self.assertEqual(error.partial.request_id, "req-9")

    def test_a_completion_of_ones_own_has_no_request_id(self):
        self.assertIsNone(Completion(choices=[]).request_id)
        self.assertEqual(list(Completion(choices=[]).headers), [])


class KeepingConnections(Test):
    def test_tcp_looks_whether_a_silent_peer_is_still_there(self):
        server = self.serve(HELD)
        stream = self.client(server).stream("hi")
        address = ("127.0.0.1", server.port)
        ours = []
        for thing in gc.get_objects():
            if isinstance(thing, socket.socket) and thing.fileno() != -1:
                with contextlib.suppress(OSError):
                    if thing.getpeername() == address:
                        ours.append(thing)
        self.assertTrue(ours)
        for sock in ours:
            option = sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            self.assertTrue(option)
            if hasattr(socket, "TCP_KEEPIDLE"):
                idle = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)
                self.assertEqual(idle, 60)
        stream.close()

    def test_a_connection_is_not_used_after_a_sleep_of_the_machine(self):
        server = self.serve(ANSWER)
        client, now = self.client(server), time.time
        client.complete("hi")
        with mock.patch("time.time", lambda: now() + 3600):
            client.complete("hi")
        self.assertEqual(server.connections, 2)

    def test_a_connection_that_is_one_too_many_is_closed_without_the_collector(self):
        self.limit(MAX_IDLE_CONNECTIONS=1)
        server = self.serve(STREAM)
        client = self.client(server)
        streams = [client.stream("hi") for _ in range(3)]
        gc.disable()
        self.addCleanup(gc.enable)
        for stream in streams:
            stream.get_final_completion()
        self.assertTrue(server.wait(lambda: len(server.closed) == 2))

    @CAN_FORK
    def test_a_forked_child_cannot_read_its_parents_stream(self):
        go_on = threading.Event()
        server = self.serve([SSE_HEAD + framed(event(ONCE)), go_on, *STREAM_ENDING])
        stream = self.client(server).stream("hi")
        next(stream)
        with fork_without_warning():
            child = os.fork()
        if not child:
            status = 1
            with contextlib.suppress(StreamError):
                next(stream)
                status = 2
            os._exit(7 if status == 1 else status)
        watchdog = threading.Timer(20, os.kill, (child, signal.SIGTERM))
        watchdog.start()
        self.assertEqual(os.waitpid(child, 0)[1] >> 8, 7)
        watchdog.cancel()
        go_on.set()
        self.assertEqual(stream.get_final_completion().text, "Once upon")

    def test_a_stream_closed_by_another_thread_gives_what_it_has_and_raises(self):
        stream = self.client(self.serve([BEGUN, SILENCE])).stream("hi")
        texts = []

        def read():
            for piece in stream.text_stream:
                texts.append(piece)
                thread = threading.Thread(target=stream.close)
                thread.start()
                thread.join()

        error = self.refused(StreamError, ["closed"], read)
        self.assertEqual((texts, error.partial.text), (["Once", " upon"], "Once upon"))


STREAM_ENDING = (framed(event(UPON) + event(END) + event("[DONE]")), LAST)
ADDRESSES = (  # what follows the host in base_url, extra_query, what is asked for
    ("", None, "/chat/completions"),
    ("/v1", None, "/v1/chat/completions"),
    ("/v1/", None, "/v1/chat/completions"),
    ("/v1//", None, "/v1/chat/completions"),
    (" \r\n", None, "/chat/completions"),
    ("/v1 \n", None, "/v1/chat/completions"),
    ("/v1/chat/completions", None, "/v1/chat/completions"),
    ("/v1/chat/completions/", None, "/v1/chat/completions"),
    ("/v1?a=1", None, "/v1/chat/completions?a=1"),
    ("/v1/?a=1", None, "/v1/chat/completions?a=1"),
    ("/v1/chat/completions?a=1&b", None, "/v1/chat/completions?a=1&b"),
    ("/v1?a=1", {"b": "x &"}, "/v1/chat/completions?a=1&b=x+%26"),
    ("/v1", {"b": "\u00e9"}, "/v1/chat/completions?b=%C3%A9"),
    ("/v1", {"b": ["1", "2"]}, "/v1/chat/completions?b=1&b=2"),
    ("/v1", {}, "/v1/chat/completions"),
    ("/v1", {"a": NOT_GIVEN}, "/v1/chat/completions"),
    ("/my%20own/v1?sig=a%2Bb%3D", None, "/my%20own/v1/chat/completions?sig=a%2Bb%3D"),
)
LOOKALIKES = (  # base URLs with characters that imitate others
    "http\u017f://h/v1",
    "\uff48ttps://h/v1",
    "https\uff1a//h/v1",
    "https:\u2044\u2044h/v1",
    "https:\u2215\u2215h/v1",
    "https\u200b://h/v1",
    "\ufeffhttps://h/v1",
    "https://h\uff0fv1",
    "https://h\u2100.example/v1",
    "https://h\uff20evil.example/v1",
    "https://h\uff1a80/v1",
    "https://h\uff1fv1",
    "https://h\uff03v1",
    "https://\u24d4xample.com/v1",
    "https://\uff11\uff12\uff17.0.0.1/v1",
    "https://h\u3002example/v1",
    "https://h\uff61example/v1",
    "https://exam\u00adple.com/v1",
    "https://exam\u200bple.com/v1",
    "https://exam\u2060ple.com/v1",
    "https://h\\@evil.example/v1",
)
UNSAFE_URLS = (  # spellings of a base URL, each wrong and with a password in it
    "https://user:secret@h/v1",
    "HTTPS://user:secret@h/v1",
    "https:/user:secret@h/v1",
    "https:user:secret@h/v1",
    "https//user:secret@h/v1",
    "//user:secret@h/v1",
    "user:secret@h/v1",
    "user:secret@h",
    "ftp://user:secret@h/v1",
    "'https://user:secret@h/v1'",
    "https://user:secret@h:99999/v1",
    "https://user:secret@[::1/v1",
    "https://user:se/secret@h/v1",
    "https://user:se#secret@h/v1",
    "https://user:se@secret@h/v1",
    "https://user:se\nsecret@h/v1",
    "https:\\\\user:secret@h/v1",
    "https://user:secret\uff20h/v1",
)
WRONG_PATHS = (  # path of base_url, what the error of a 404 says to try
    ("", ["/v1"]),
    ("/api", ["/v1"]),
    ("/v1/v1", ["twice"]),
    ("/v1", []),
    ("/openai/v1beta", []),
)


class Addresses(Test):
    def test_a_base_url_may_be_written_as_people_write_it(self):
        for path, query, target in ADDRESSES:
            server = self.serve(ANSWER)
            url = "http://%s%s" % (server.address, path)
            with self.subTest(path, query=query):
                self.client(url).complete("hi", extra_query=query)
                self.assertEqual(server.requests[0].target, target)

    def test_a_query_goes_along_with_the_list_of_models(self):
        server = self.serve(http_answer(200, []))
        url = server.base_url + "/chat/completions?a=1"
        self.client(url).models.list(extra_query={"b": 2})
        self.assertEqual(server.requests[0].target, "/v1/models?a=1&b=2")

    def test_an_extra_query_is_for_one_call_and_no_part_of_the_body(self):
        server = self.serve(ANSWER)
        client = self.client(server)
        client.complete("hi", extra_query={"b": 2})
        client.complete("hi")
        targets = [received.target for received in server.requests]
        path = "/v1/chat/completions"
        self.assertEqual(targets, [path + "?b=2", path])
        self.assertNotIn("extra_query", server.requests[0].json)

    def test_white_space_around_a_setting_is_dropped(self):
        server = self.serve(ANSWER)
        with Client("\t%s\r\n" % KEY, " %s\n" % server.base_url, model="m") as client:
            client.complete("hi")
        self.assertEqual(server.requests[0].headers["authorization"], "Bearer " + KEY)

    def test_quotes_around_a_setting_are_named(self):
        for quote in "\"'":
            for name in ("api_key", "base_url"):
                value = {"api_key": KEY, "base_url": "https://h/v1"}[name]
                value = quote + value + quote
                with self.subTest(name, quote=quote):
                    words = [name, "quotes"]
                    error = self.refused(ValueError, words, Client, **{name: value})
                    self.assertNotIn(KEY, str(error))

    def test_quotes_around_a_variable_are_named(self):
        for name in ("SIRAYA_API_KEY", "SIRAYA_BASE_URL"):
            value = '"%s"' % ("https://h/v1" if "URL" in name else KEY)
            with self.subTest(name), mock.patch.dict(os.environ, {name: value}):
                error = self.refused(ValueError, ["quotes"], Client)
                self.assertNotIn(KEY, str(error))

    def test_a_server_on_this_machine_needs_no_key(self):
        for host in ("localhost", "127.0.0.1", "127.1.2.3", "[::1]", "LOCALHOST"):
            server = self.serve(ANSWER)
            client = Client(base_url="http://%s:81/v1" % host, model="m")
            with self.subTest(host), names_resolve_to(server.port), client:
                client.complete("hi")
                self.assertNotIn("authorization", server.requests[0].headers)

    def test_a_server_elsewhere_needs_a_key(self):
        for host in ("localhost.example", "127.0.0.1.example", "10.0.0.1", "[::2]"):
            server = self.serve(ANSWER)
            client = Client(base_url="http://%s:81/v1" % host, model="m")
            with self.subTest(host), names_resolve_to(server.port):
                self.refused(SirayaError, ["SIRAYA_API_KEY"], client.complete, "hi")
                self.assertEqual(server.connections, 0)

    def test_a_404_names_the_url_and_says_what_to_try(self):
        for path, words in WRONG_PATHS:
            for status in (404, 405):
                server = self.serve(http_answer(status))
                url = "http://%s%s" % (server.address, path)
                call = self.client(url + "?code=hidden").complete
                with self.subTest(path, status=status):
                    with self.assertRaises(APIStatusError) as caught:
                        call("hi")
                    said = str(caught.exception)
                    for word in [url + "/chat/completions", *words]:
                        self.assertIn(word, said)
                    self.assertNotIn("hidden", said)
                    if not words:
                        self.assertNotIn("base_url", said)

    def test_lookalikes_of_an_address_are_refused(self):
        for url in LOOKALIKES:
            with self.subTest(ascii(url)):
                self.refused(ValueError, ["base_url"], Client, KEY, url)

    def test_no_spelling_of_a_base_url_shows_its_password(self):
        for url in UNSAFE_URLS:
            with self.subTest(url):
                error = self.refused(ValueError, ["base_url"], Client, KEY, url)
                self.assertNotIn("secret", str(error))


BYPASSES = (  # no_proxy, host of the server, whether the proxy is left out
    ("127.0.0.1", "127.0.0.1", True),
    ("127.0.0.2", "127.0.0.1", False),
    ("localhost", "127.0.0.1", False),
    ("127.0.0.0/8", "127.0.0.1", True),
    ("127.0.0.1/32", "127.0.0.1", True),
    ("10.0.0.0/8", "127.0.0.1", False),
    ("10.1.2.3/8", "10.9.9.9", True),
    ("127.0.0.0/8", "127.example", False),
    ("::1", "[::1]", True),
    ("[::1]", "[::1]", True),
    ("[::1]:8080", "[::1]", True),
    ("[::1]:81", "[::1]", False),
    ("0:0:0:0:0:0:0:1", "[::1]", True),
    ("fd00::/8", "[fd12::1]", True),
    ("[fd00::]/8", "[fd12::1]", True),
    ("fd00::/8", "[::1]", False),
    ("fd00::/8", "127.0.0.1", False),
    ("service.example", "service.example", True),
    ("SERVICE.Example", "service.example", True),
    ("service.example", "api.service.example", True),
    (".service.example", "api.service.example", True),
    ("*.service.example", "api.service.example", True),
    ("service.example", "otherservice.example", False),
    ("api.service.example", "service.example", False),
    ("service.example:8080", "service.example", True),
    ("service.example:81", "service.example", False),
    ("a.example, 10.0.0.0/8 ,service.example", "service.example", True),
    ("*", "service.example", True),
    ("", "service.example", False),
    ("10.0.0.0/99,x/y,:::,[", "service.example", False),
)
OTHER_PROXIES = (  # URLs of proxies that are not spoken to
    "https://user:secret@proxy.example:3128",
    "HTTPS://user:secret@proxy.example:3128",
    "socks5://user:secret@proxy.example:1080",
    "socks5h://user:secret@proxy.example:1080",
    "socks4://user:secret@proxy.example:1080",
    "socks://user:secret@proxy.example:1080",
    "ftp://user:secret@proxy.example:21",
)
WRONG_PROXIES = (  # spellings of a proxy, each wrong and with a password in it
    "http://user:12345#secret@h:3128",
    "http://user:12345?secret@h:3128",
    "http://user:secret@",
    "http://user:secret@:3128",
    "http://user:secret@proxy.example:x",
    "http://user:secret@proxy.example:99999",
    "http://user:secret@proxy example:3128",
    "http://user:secret@[::1",
    "http:/user:secret@proxy.example:3128",
    "http//user:secret@proxy.example:3128",
    "user:secret://x@proxy.example:3128",
    "user:secret@proxy.example:x",
    "//user:secret@proxy.example:3128",
    "http://user:se/secret@proxy.example:3128",
    "http://user:se#secret@proxy.example:3128",
    "http://user:secret\uff20proxy.example:3128",
)


class ChoiceOfProxy(Test):
    def setUp(self):
        super().setUp()
        quiet = warnings.catch_warnings()
        quiet.__enter__()
        self.addCleanup(quiet.__exit__, None, None, None)
        warnings.simplefilter("ignore")  # of the key on a plain connection

    def is_proxied(self, url, **options):
        """Whether a call goes to a proxy: then all of the URL is asked for."""
        server = self.serve(ANSWER)
        with names_resolve_to(server.port):
            self.client(url, **options).complete("hi")
        return server.requests[0].target.startswith("http://")

    def test_no_proxy_names_what_goes_direct(self):
        os.environ["http_proxy"] = "http://proxy.example:3128"
        for entries, host, is_direct in BYPASSES:
            url = "http://%s:8080/v1" % host
            os.environ["no_proxy"] = entries
            with self.subTest(entries, host=host):
                self.assertEqual(self.is_proxied(url), not is_direct)

    def test_proxy_goes_before_the_environment_and_no_proxy(self):
        os.environ.update(http_proxy="http://127.0.0.1:1", no_proxy="*")
        url = "http://service.example:8080/v1"
        for proxy in ("http://proxy.example:3128", "proxy.example:3128"):
            with self.subTest(proxy):
                self.assertTrue(self.is_proxied(url, proxy=proxy))

    def test_an_empty_proxy_is_none(self):
        os.environ.update(http_proxy="http://proxy.example:3128")
        url = "http://service.example:8080/v1"
        self.assertFalse(self.is_proxied(url, proxy=""))

    def test_all_proxy_is_used_where_there_is_no_other(self):
        url = "http://service.example:8080/v1"
        for name in ("all_proxy", "ALL_PROXY"):
            variables = {name: "http://proxy.example:3128"}
            with self.subTest(name), mock.patch.dict(os.environ, variables):
                self.assertTrue(self.is_proxied(url))

    def test_a_proxy_for_the_scheme_goes_before_all_proxy(self):
        proxy, other = self.serve(ANSWER), self.serve(ANSWER)
        os.environ["http_proxy"] = "http://" + proxy.address
        os.environ["all_proxy"] = "http://" + other.address
        self.client("http://service.example/v1").complete("hi")
        self.assertEqual((len(proxy.requests), other.connections), (1, 0))

    def test_the_password_of_the_setting_is_sent_to_the_proxy_alone(self):
        proxy = self.serve(ANSWER)
        url = "http://us%40er:pa%3Ass@" + proxy.address
        self.client("http://service.example/v1", proxy=url).complete("hi")
        password = proxy.requests[0].headers["proxy-authorization"]
        self.assertEqual(password, "Basic " + text64(b"us@er:pa:ss"))

    def test_other_schemes_are_one_error_before_anything_is_sent(self):
        server = self.serve(ANSWER)
        for proxy in OTHER_PROXIES:
            with self.subTest(proxy), names_resolve_to(server.port):
                words = ["proxy", proxy.partition(":")[0], "http://"]
                error = self.refused(ValueError, words, Client, KEY, proxy=proxy)
                self.assertNotIn("secret", str(error))
        self.assertEqual(server.connections, 0)

    def test_other_schemes_in_the_environment_are_one_error_too(self):
        server = self.serve(ANSWER)
        for proxy in OTHER_PROXIES:
            for name in ("http_proxy", "all_proxy"):
                with mock.patch.dict(os.environ, {name: proxy}):
                    client = self.client("http://service.example/v1")
                    with self.subTest(proxy), names_resolve_to(server.port):
                        words = [name, "http://"]
                        call = client.complete
                        error = self.refused(ValueError, words, call, "hi")
                        self.assertNotIn("secret", str(error))
        self.assertEqual(server.connections, 0)

    def test_no_spelling_of_a_proxy_shows_its_password(self):
        for proxy in WRONG_PROXIES:
            with self.subTest(proxy):
                error = self.refused(ValueError, ["proxy"], Client, KEY, proxy=proxy)
                self.assertNotIn("secret", str(error))

    def test_a_proxy_that_fails_is_named(self):
        with unused_port() as port:
            place = "127.0.0.1:%d" % port
            for scheme in ("http", "https"):
                proxy = "http://user:secret@" + place
                options = {"proxy": proxy, "max_retries": 0}
                call = self.client(scheme + "://service.example/v1", **options).complete
                with self.subTest(scheme):
                    error = self.refused(APIConnectionError, [place], call, "hi")
                    self.assertIn("proxy", str(error))
                    self.assertNotIn("secret", str(error))

    def test_a_proxy_that_drops_the_request_is_named(self):
        proxy = self.serve([CLOSE])
        for scheme in ("http", "https"):
            options = {"proxy": "http://" + proxy.address, "max_retries": 0}
            call = self.client(scheme + "://service.example/v1", **options).complete
            with self.subTest(scheme):
                words = ["proxy " + proxy.address]
                self.refused(APIConnectionError, words, call, "hi")

    def test_a_plain_proxy_before_this_machine_is_warned_of(self):
        server = self.serve(ANSWER)
        for url in ("http://localhost:81/v1", "http://127.0.0.1:81/v1"):
            client = self.client(url, proxy="http://proxy.example:3128")
            with self.subTest(url), names_resolve_to(server.port):
                with warnings.catch_warnings(record=True) as caught:
                    warnings.simplefilter("always")
                    client.complete("hi")
                (warning,) = caught
                self.assertIn("proxy.example", str(warning.message))
                self.assertEqual(warning.filename, __file__)


BAD_STORES = (  # what SSL_CERT_FILE names, its content; None: it is not there
    ("missing", None),
    ("empty", b""),
    ("no certificate", b"hello"),
)


REFUSED_CERTIFICATES = (  # OpenSSL's code, words of the advice; None: there is none
    (20, ["SSL_CERT_FILE", "ssl_context"]),
    (18, ["SSL_CERT_FILE", "ssl_context"]),
    (85, ["verify_flags", "VERIFY_X509_STRICT"]),
    (89, ["verify_flags", "VERIFY_X509_STRICT"]),
    (10, None),
    (62, None),
)


class FailingContext(ssl.SSLContext):
    """A context whose handshake fails with `failure`, as a replacement's might."""

    def wrap_socket(self, *arguments, **named):
        raise self.failure


class OtherPeoplesLayers(Test):
    """Replacements of ssl and tools that trace urllib take nothing for granted."""

    def failing(self, failure):
        context = FailingContext(ssl.PROTOCOL_TLS_CLIENT)
        context.failure = failure
        server = self.serve()
        url = server.base_url.replace("http", "https")
        return self.client(url, ssl_context=context, max_retries=0).complete

    def test_a_certificate_error_without_details_is_a_connection_error(self):
        failure = ssl.SSLCertVerificationError("the system does not trust it")
        words = ["could not be verified", "the system does not trust it"]
        self.refused(APIConnectionError, words, self.failing(failure), "hi")

    def test_the_advice_fits_what_is_wrong_with_the_certificate(self):
        for code, words in REFUSED_CERTIFICATES:
            failure = ssl.SSLCertVerificationError("x")
            failure.verify_code, failure.verify_message = code, "the reason"
            with self.subTest(code):
                given = ["the reason", *(words or [])]
                error = self.refused(
                    APIConnectionError, given, self.failing(failure), "hi"
                )
                if words is None:
                    self.assertNotIn("SSL_CERT_FILE", str(error))
                    self.assertNotIn("verify_flags", str(error))

    def test_a_tool_that_traces_urllib_finds_what_it_looks_for(self):
        seen = []
        opened = urllib.request.OpenerDirector.open

        def traced(opener, request, *arguments, **named):
            request.headers["traceparent"] = "00-1-2-03"
            answer = opened(opener, request, *arguments, **named)
            headers = answer.info()
            kind = headers["Content-Type"]
            seen.append((request.get_method(), request.full_url, request.data))
            seen.append((answer.getcode(), answer.code, answer.status, answer.version))
            seen.append((answer.geturl(), answer.url, kind, answer.headers is headers))
            return answer

        server = self.serve(ANSWER, STREAM)
        client = self.client(server)
        with mock.patch("urllib.request.OpenerDirector.open", traced):
            for streamed in (False, True):
                self.assertEqual(ask(client, streamed).text, "Once upon")
        url = server.base_url + "/chat/completions"
        self.assertEqual(seen[0], ("POST", url, None))
        self.assertEqual(seen[1], (200, 200, 200, 11))
        self.assertEqual(seen[2], (url, url, "application/json", True))
        for received in server.requests:
            self.assertEqual(received.headers["traceparent"], "00-1-2-03")


class CertificateStores(Test):
    def test_a_store_that_cannot_be_used_is_named_before_anything_is_sent(self):
        server = self.serve()
        url = server.base_url.replace("http", "https")
        for name, content in BAD_STORES:
            path = os.path.join(self.folder, name)
            if content is not None:
                self.file(name, content)
            os.environ["SSL_CERT_FILE"] = path
            call = self.client(url).complete
            with self.subTest(name):
                self.refused(APIConnectionError, ["SSL_CERT_FILE", name], call, "hi")
        self.assertEqual(server.connections, 0)

    def test_a_folder_is_no_store(self):
        os.environ["SSL_CERT_FILE"] = self.folder
        call = self.client("https://127.0.0.1:1/v1").complete
        self.refused(APIConnectionError, ["SSL_CERT_FILE"], call, "hi")

    @unittest.skipIf(sys.version_info < (3, 8), "Python 3.7 writes no key log")
    def test_a_key_log_that_cannot_be_written_is_one_clear_error(self):
        os.environ["SSLKEYLOGFILE"] = os.path.join(self.folder, "none", "keys.log")
        call = self.client("https://127.0.0.1:1/v1").complete
        self.refused(APIConnectionError, ["keys.log"], call, "hi")

    def test_plain_http_needs_no_store(self):
        os.environ["SSL_CERT_FILE"] = "/missing"
        self.assertEqual(ask(self.client(self.serve(ANSWER)), False).text, "Once upon")


LISTED = [{"id": "a", "object": "model"}, {"id": "b", "object": "model"}]
MODEL_LISTS = (  # the body of an answer that lists two models
    {"object": "list", "data": LISTED},
    {"data": LISTED},
    LISTED,
)
NO_MODEL_LISTS = (  # the body of an answer that does not
    "hello",
    "",
    {},
    {"data": {}},
    {"data": 5},
    "5",
    {"error": {"message": "no models today"}},
)
CHANGES = (  # a setting, a value that the next call refuses
    ("timeout", "5"),
    ("timeout", 0),
    ("connect_timeout", -1),
    ("deadline", "x"),
    ("deadline", math.nan),
    ("max_retries", -1),
    ("max_retries", 1.5),
    ("headers", {"a b": "c"}),
    ("model", 5),
    ("base_url", "ftp://h"),
    ("base_url", None),
    ("api_key", "a b"),
    ("api_key", 5),
    ("proxy", "socks5://h"),
    ("ssl_context", 5),
)


class ChangesOfSettings(Test):
    def test_a_key_that_expires_is_asked_for_before_each_attempt(self):
        keys = iter(["key-of-the-first", "key-of-the-second", "key-of-the-third"])
        server = self.serve(http_answer(503), [CLOSE], ANSWER)
        client = self.client(server)
        client.api_key = lambda: next(keys)
        client.complete("hi")
        sent = [received.headers["authorization"] for received in server.requests]
        names = ("first", "second", "third")
        self.assertEqual(sent, ["Bearer key-of-the-" + name for name in names])

    def test_a_key_of_an_earlier_attempt_is_masked_too(self):
        keys = iter(["key-of-the-first", "key-of-the-second"])
        echo = {"error": "key-of-the-first key-of-the-second"}
        server = self.serve(http_answer(503, echo), http_answer(400, echo))
        client = self.client(server)
        client.api_key = lambda: next(keys)
        error = self.refused(BadRequestError, ["***"], client.complete, "hi")
        self.assertNotIn("key-of", str(error) + repr(error.body))

    def test_a_function_that_gives_no_key_is_refused_without_showing_it(self):
        server = self.serve(ANSWER)
        client = self.client(server)
        for key in ("not hidden", 5, b"hidden", "hidden\u00e9"):
            client.api_key = lambda key=key: key
            with self.subTest(repr(key)):
                error = self.refused(EITHER, ["api_key"], client.complete, "hi")
                self.assertNotIn("hidden", str(error))
        self.assertEqual(server.requests, [])

    def test_models_are_listed_in_both_shapes(self):
        for body in MODEL_LISTS:
            server = self.serve(http_answer(200, body))
            models = self.client(server).models.list()
            with self.subTest(body=body):
                self.assertEqual(models, LISTED)
                self.assertEqual(models.data, LISTED)
                self.assertEqual([model.id for model in models], ["a", "b"])
                asked = server.requests[0]
                self.assertEqual((asked.method, asked.target), ("GET", "/v1/models"))
                self.assertEqual(asked.headers["authorization"], "Bearer " + KEY)
                self.assertEqual(asked.body, b"")

    def test_a_model_may_have_fields_that_errors_have(self):
        for field in ("detail", "message"):
            listed = [dict(LISTED[0], **{field: "fast"})]
            for body in (listed, {"data": listed, "message": "success"}):
                with self.subTest(body=body):
                    client = self.client(self.serve(http_answer(200, body)))
                    self.assertEqual(client.models.list(), listed)

    def test_what_is_no_list_of_models_is_a_response_error(self):
        for body in NO_MODEL_LISTS:
            client = self.client(self.serve(http_answer(200, body)))
            with self.subTest(body=body):
                self.refused(ResponseError, [], client.models.list)

    def test_a_list_of_models_that_is_cut_off_is_a_lost_connection(self):
        client = self.client(self.serve([http_answer(200, LISTED)[:-1], CLOSE]))
        self.refused(APIConnectionError, [], client.models.list)

    def test_an_argument_that_the_list_of_models_lacks_is_refused(self):
        client = self.client(self.serve())
        self.refused(TypeError, ["limit"], client.models.list, limit=5)

    def test_with_options_of_another_proxy_goes_through_it(self):
        server, proxy = self.serve(ANSWER), self.serve(ANSWER)
        client = self.client(server)
        client.complete("hi")
        twin = client.with_options(proxy="http://" + proxy.address)
        self.addCleanup(twin.close)
        twin.complete("hi")
        self.assertEqual((len(server.requests), len(proxy.requests)), (1, 1))

    def test_the_list_of_models_is_tried_again(self):
        server = self.serve(http_answer(503), http_answer(200, LISTED))
        self.assertEqual(self.client(server).models.list(), LISTED)

    def test_with_options_differs_in_these_alone(self):
        client = self.client("http://127.0.0.1:1/v1", headers={"X-Tag": "a"})
        twin = client.with_options(timeout=3.0, model="other")
        self.assertEqual((twin.timeout, twin.model), (3.0, "other"))
        self.assertEqual((client.timeout, client.model), (30.0, "m"))
        for name in ("api_key", "base_url", "headers", "max_retries", "deadline"):
            self.assertEqual(getattr(twin, name), getattr(client, name))

    def test_with_options_can_take_a_limit_away(self):
        twin = self.client("http://127.0.0.1:1/v1").with_options(timeout=None)
        self.assertIsNone(twin.timeout)

    def test_with_options_shares_the_kept_connections(self):
        server = self.serve(ANSWER)
        client = self.client(server)
        client.complete("hi")
        client.with_options(max_retries=0).complete("hi")
        self.assertEqual((len(server.requests), server.connections), (2, 1))

    def test_with_options_refuses_what_it_does_not_know(self):
        client = self.client("http://127.0.0.1:1/v1")
        self.refused(TypeError, ["colour"], client.with_options, colour="red")
        self.refused(ValueError, ["timeout"], client.with_options, timeout=-1)

    def test_the_next_call_uses_what_was_set(self):
        first, second = self.serve(ANSWER), self.serve(http_answer(503), ANSWER)
        client = self.client(first, max_retries=0)
        client.complete("hi")
        client.base_url, client.api_key = second.base_url + "/", "another-key"
        client.model, client.max_retries = "other", 1
        client.headers = {"X-Tag": "b"}
        client.complete("hi")
        asked = second.requests[1]
        self.assertEqual(asked.headers["authorization"], "Bearer another-key")
        self.assertEqual((asked.json["model"], asked.headers["x-tag"]), ("other", "b"))
        self.assertEqual(len(first.requests), 1)

    def test_a_proxy_that_is_set_later_is_used(self):
        server, proxy = self.serve(ANSWER), self.serve(ANSWER)
        client = self.client(server)
        client.complete("hi")
        client.proxy = "http://" + proxy.address
        client.complete("hi")
        self.assertEqual((len(server.requests), len(proxy.requests)), (1, 1))

    def test_what_was_set_is_checked_by_the_next_call(self):
        server = self.serve(ANSWER)
        for name, value in CHANGES:
            client = self.client(server)
            setattr(client, name, value)
            with self.subTest(**{name: value}):
                self.refused(EITHER, [name], client.complete, "hi")
        self.assertEqual(server.connections, 0)


LARGE = b"1" * 64000
SPACES = b" " * 64000
LARGE_HEADS = (  # what, the head of an answer with 64 kB in one of its lines
    ("Content-Length", b"200 OK\r\nContent-Length: " + LARGE),
    ("white Content-Length", b"200 OK\r\nContent-Length: 1" + SPACES + b"1"),
    ("Transfer-Encoding", b"200 OK\r\nTransfer-Encoding: " + LARGE),
    ("white Transfer-Encoding", b"200 OK\r\nTransfer-Encoding: x" + SPACES + b"x"),
    ("Content-Encoding", b"200 OK\r\nContent-Encoding: " + LARGE),
    ("Content-Type", b"200 OK\r\nContent-Type: " + SPACES + b";" + LARGE[:1000]),
    ("Retry-After", b"503 No\r\nContent-Length: 0\r\nRetry-After: " + LARGE),
    ("white Retry-After", b"503 No\r\nContent-Length: 0\r\nRetry-After: 1" + SPACES),
    ("retry-after-ms", b"503 No\r\nContent-Length: 0\r\nretry-after-ms: " + LARGE),
    ("X-Request-Id", b"503 No\r\nContent-Length: 0\r\nX-Request-Id: " + LARGE),
    ("Location", b"302 Go\r\nContent-Length: 0\r\nLocation: " + LARGE),
    ("a reason", b"400 " + LARGE + b"\r\nContent-Length: 0"),
    ("a white reason", b"400 x" + SPACES + b"x\r\nContent-Length: 0"),
)
ODD_DATES = (  # values of Retry-After; the standard library stumbles over some
    "1 Jan 2020 1.2.3.4",
    "1 Jan 2020 1.2",
    "Wed, 21 Oct 2015 07:28:00 +9999999999",
    "Wed, 21 Oct 99999999999 07:28:00 GMT",
    "Wed, 0 Oct 2015 07:28:00 GMT",
    "0 0 0 0",
    ",",
)
SAME_HASH = (1 << 61) - 1  # multiples of it are different numbers with one hash
DEEP_ERROR = '{"error": {"message": "deep", "more": %s%s}}' % ("[" * 900, "]" * 900)
BOMBS = (  # what, a piece of an answer's JSON of which there is no end
    ("spaces", b" "),
    ("a text", b"x"),
    ("lists", b"[],"),
    ("objects", b'{"a":{}},'),
)


GROWING = (  # what grows, the n-th chunk
    ("choices", lambda n: chunk("x", index=n)),
    ("calls", lambda n: chunk(tool_calls=[tool_call(n, "c%d" % n, "f")])),
    ("fields", lambda n: with_choice(delta={"f%d" % n: {"a": 1}})),
    ("fields beside the choices", lambda n: dict(chunk("x"), **{"f%d" % n: {"a": 1}})),
    ("lists", lambda n: with_choice(delta={"odd": [[], [n]] * 8})),
    ("pictures", lambda n: chunk(images=[{"index": 0, "url": "data:%d" % n}] * 2)),
    ("thoughts", lambda n: chunk(reasoning_details=[{"type": "x", "index": n}])),
    (
        "a tool's name",
        lambda n: chunk(tool_calls=[tool_call(0, "c", "function%d" % n)]),
    ),
    (
        "probabilities",
        lambda n: with_choice(logprobs={"content": [{"token": "x"}] * 20}),
    ),
    ("tokens", lambda n: with_choice(token_ids=[[n]] * 20)),
)
REPEATING = (  # what is said again and again, the n-th chunk
    ("pictures", lambda n: chunk(images=[{"url": "data:1"}, {"url": "data:2"}])),
    ("links beside the choices", lambda n: dict(chunk("x"), citations=["x"] * 50)),
    ("a message", lambda n: with_choice(message={"content": "x" * 50})),
    ("the id of a call", lambda n: chunk(tool_calls=[tool_call(0, "c%d" % n)])),
    ("sounds", lambda n: chunk(audio={"data": "AA==" * 50})),
    ("thoughts", lambda n: chunk(reasoning_details=[{"text": "x"}] * 10)),
)


TINY_PIECES = (  # of what, so many that a chunk is all of these
    ("choices", {"choices": [{}] * 300}),
    ("calls", chunk(tool_calls=[{"index": 0}] * 300)),
    ("thoughts", chunk(reasoning_details=[{"index": 0}] * 300)),
)


class Costs(Test):
    def test_a_large_header_is_handled_fast(self):
        for name, head in LARGE_HEADS:
            steps = [b"HTTP/1.1 " + head + b"\r\n\r\n", CLOSE]
            client = self.client(self.serve(steps), max_retries=0)
            before = time.process_time()
            with self.subTest(name):
                with self.assertRaises(SirayaError):
                    client.complete("hi")
                self.assertLess(time.process_time() - before, 1)

    def test_a_large_reason_of_a_proxy_is_handled_fast(self):
        for reason in (LARGE, b"x" + SPACES + b"x"):
            steps = [b"HTTP/1.1 403 " + reason + b"\r\n\r\n", CLOSE]
            options = {"proxy": "http://" + self.serve(steps).address}
            client = self.client("https://127.0.0.1:1/v1", **options)
            before = time.process_time()
            self.refused(APIConnectionError, ["403"], client.complete, "hi")
            self.assertLess(time.process_time() - before, 1)

    def test_a_proxy_whose_head_has_no_end_is_given_up(self):
        for status in (b"200 OK", b"403 No"):
            head = b"HTTP/1.1 " + status + b"\r\n" + b"X: y\r\n" * 300000
            options = {"proxy": "http://" + self.serve([head, SILENCE]).address}
            call = self.client("https://127.0.0.1:1/v1", **options).complete
            with self.subTest(status):
                self.refused((APIConnectionError, ResponseError), [], call, "hi")

    def test_an_odd_date_of_retry_after_asks_for_nothing(self):
        for value in ODD_DATES:
            error = RateLimitError("", None, 429, headers_of({"Retry-After": value}))
            with self.subTest(value):
                self.assertIn(error.retry_after, (None, 0.0))

    def test_indexes_that_collide_cost_no_more_than_others(self):
        for what in ("choices", "tool calls"):
            chunks = []
            for number in range(400):
                index = number * SAME_HASH
                if what == "choices":
                    chunks.append(chunk("x", "stop", index=index))
                else:
                    call = tool_call(index, "c%d" % number, "f", "{}")
                    chunks.append(chunk(tool_calls=[call]))
            before = time.process_time()
            with self.subTest(what):
                answer = assembled(*chunks, chunk(None, "stop"))
                self.assertLess(time.process_time() - before, 3)
                if what == "choices":
                    self.assertGreaterEqual(len(answer.choices), 400)
                else:
                    self.assertEqual(len(answer.tool_calls), 400)

    def test_what_grows_without_end_is_refused_before_it_fills_the_memory(self):
        self.limit(MAX_JSON_MEMORY=1 << 17)
        for what, piece in GROWING:
            answer = sse(*map(piece, range(600)), "[DONE]")
            client = self.client(self.serve(answer))
            for name, call in self.both(client):
                with self.subTest(what, call=name):
                    refused = functools.partial(self.refused, StreamError, [], call)
                    peak, _ = memory(refused)
                    self.assertLess(peak, 10 * len(answer) + (1 << 20))

    def test_what_a_server_sends_costs_time_by_its_bytes_alone(self):
        for what, piece in (*GROWING, *REPEATING):
            servers = {}
            for size in (100, 400):
                answer = sse(*map(piece, range(size)), END, "[DONE]")
                servers[size] = self.serve(answer)

            def read(size, servers=servers):
                with contextlib.suppress(StreamError):
                    self.client(servers[size]).stream("hi").get_final_completion()

            with self.subTest(what):
                self.assertLess(growth(read, 100, 400), 9)  # 16 if it were the square

    def test_blanks_that_come_before_an_answer_cost_what_they_weigh(self):
        for mark in (b"", b"\xef\xbb\xbf"):

            def read(size, mark=mark):
                blanks = [SSE_HEAD, framed(mark or b" "), framed(b" ") * size]
                with StandIn([*blanks, sse(ONCE, END)[len(SSE_HEAD) :]]) as server:
                    self.client(server).complete("hi")

            with self.subTest(mark):
                self.assertLess(growth(read, 5000, 20000), 9)

    def test_words_in_lists_within_lists_are_not_copied_by_each_of_them(self):
        words = '"%s"' % ("A" * 8000000)

        def read(levels):
            message = '["x",' * levels + words + "]" * levels
            answer = sse(ONCE, '{"error": {"message": %s}}' % message)
            with StandIn(answer) as server, contextlib.suppress(StreamError):
                self.client(server).stream("hi").get_final_completion()

        self.assertLess(growth(read, 1, 90), 2)

    def test_strings_in_place_of_parts_take_little_memory(self):
        body = '{"choices": [{"message": {"content": [%s""]}}]}' % ('"",' * 600000)
        call = self.client(self.serve(http_answer(200, body))).complete
        peak, _ = memory(lambda: call("hi"))
        self.assertLess(peak, 10 * len(body) + (50 << 20))

    def test_a_text_is_no_more_json_than_an_answer_can_be(self):
        lists = "[" + "[]," * 600000 + "0]"
        made = Completion(choices=[JSONObject(message=JSONObject(content=lists))])
        peak, _ = memory(lambda: self.refused(ResponseError, ["memory"], made.json))
        self.assertLess(peak, 50 << 20)

    def test_tiny_pieces_are_counted_though_they_leave_nothing_behind(self):
        self.limit(MAX_JSON_MEMORY=1 << 19)
        for what, pieces in TINY_PIECES:
            with self.subTest(what):
                refused = functools.partial(self.refused, StreamError, ["memory"])
                refused(assembled, ONCE, *[pieces] * 100, END)

    def test_a_deadline_holds_while_a_server_sends_what_is_costly(self):
        many = {str(number): [number] for number in range(2000)}
        repeated = with_choice(delta={}, message={"content": "x"})
        answer = sse(with_choice(delta=many), *[repeated] * 20000)
        client = self.client(self.serve(answer), deadline=0.3, max_retries=0)
        before = time.monotonic()
        with contextlib.suppress(StreamError):
            client.stream("hi").get_final_completion()
        self.assertLess(time.monotonic() - before, 3)

    def test_lists_that_take_the_place_of_others_are_counted_too(self):
        self.limit(MAX_JSON_MEMORY=1 << 18)
        names = ["f%d" % number for number in range(40)]
        begun = dict(ONCE, **{name: [] for name in names})
        answer = sse(begun, *[dict(ONCE, **{name: [{}] * 2000}) for name in names])
        call = self.client(self.serve(answer)).stream("hi").get_final_completion
        peak, _ = memory(lambda: self.refused(StreamError, ["memory"], call))
        self.assertLess(peak, 10 * len(answer) + (1 << 20))

    def test_a_list_that_is_only_repeated_is_counted_once(self):
        self.limit(MAX_JSON_MEMORY=1 << 18)
        links = dict(
            chunk("x"), citations=["https://example.com/%d" % n for n in range(99)]
        )
        self.assertEqual(assembled(*[links] * 200, END).text, "x" * 200)

    def test_a_long_list_of_models_is_taken(self):
        listed = [{"id": "model-%d" % number} for number in range(100000)]
        client = self.client(self.serve(http_answer(200, {"data": listed})))
        self.assertEqual(client.models.list(), listed)

    def test_as_many_thoughts_as_any_answer_has_are_kept(self):
        item = {"type": "reasoning.encrypted", "data": "ZQ=="}
        answer = assembled(*[chunk(reasoning_details=[item] * 1000)] * 10, END)
        self.assertEqual(answer.message.reasoning_details, [item] * 10000)

    def test_as_many_probabilities_as_any_answer_has_are_kept(self):
        token = {"token": " the", "logprob": -0.5, "bytes": [32, 116, 104, 101]}
        item = dict(token, top_logprobs=[token] * 20)
        streamed = with_choice(delta={"content": "x"}, logprobs={"content": [item]})
        whole = completion("x" * 2000)
        whole["choices"][0]["logprobs"] = {"content": [item] * 2000}
        answers = (sse(*[streamed] * 2000, END, "[DONE]"), http_answer(200, whole))
        for answer in answers:
            client = self.client(self.serve(answer))
            for name, call in self.both(client):
                with self.subTest(answer[20:60], call=name):
                    kept = call().choices[0].logprobs
                    self.assertEqual(kept, {"content": [item] * 2000})

    def test_pieces_of_a_call_cost_the_same_however_many_calls_there_are(self):
        servers = {}
        for size in (2, 500):
            calls = [tool_call(i, "c%d" % i, "f", "") for i in range(size)]
            piece = chunk(tool_calls=[tool_call(size - 1, arguments="x")] * 500)
            chunks = [chunk(tool_calls=calls), *[piece] * 10]
            servers[size] = self.serve(sse(*chunks, END, "[DONE]"))

        def assemble(size):
            answer = self.client(servers[size]).stream("hi").get_final_completion()
            arguments = [call.function.arguments for call in answer.tool_calls]
            self.assertEqual(arguments, ["{}"] * (size - 1) + ["x" * 5000])

        self.assertLess(growth(assemble, 2, 500), 3)

    def test_more_json_than_any_answer_has_is_refused_before_it_fills_the_memory(self):
        for item in (b"[],", b'{"a":1},'):
            body = b'{"choices": [%s0]}' % (item * 400000)
            server = self.serve(http_answer(200, body))
            call = functools.partial(self.client(server).complete, "hi")
            with self.subTest(item):
                peak, _ = memory(lambda: self.refused(ResponseError, [], call))
                self.assertLess(peak, 10 * len(body) + (50 << 20))

    def test_names_that_are_all_new_are_refused_before_they_fill_the_memory(self):
        names = b",".join(b'"%x":1' % number for number in range(1000000))
        server = self.serve(http_answer(200, b'{"choices": [], %s}' % names))
        call = functools.partial(self.client(server).complete, "hi")
        peak, _ = memory(lambda: self.refused(ResponseError, ["memory"], call))
        self.assertLess(peak, 10 * len(names) + (50 << 20))

    def test_errors_that_would_fill_the_memory_are_kept_as_text(self):
        body = "[%s0]" % ('{"":0},' * 800000)
        for name, error, answer in (
            ("event", StreamError, sse(ONCE, event(body, event="error"))),
            ("status", BadRequestError, http_answer(400, body)),
        ):
            client = self.client(self.serve(answer))
            call = functools.partial(self.refused, error, [], ask, client, True)
            with self.subTest(name):
                peak, _ = memory(call)
                self.assertLess(peak, 10 * len(body) + (50 << 20))

    def test_halves_of_characters_do_not_double_the_memory(self):
        body = '{"choices": [{"message": {"content": "x"}}], "x": [%s0]}'
        body %= r'"\ud83d",' * 20000
        call = self.client(self.serve(http_answer(200, body))).complete
        peak, _ = memory(lambda: call("hi"))
        self.assertLess(peak, 20 * len(body))

    def test_more_json_than_any_chunk_has_is_refused_too(self):
        data = b'data: {"choices": [%s0]}\n\n' % (b"[]," * 1100000)
        error = self.refused(StreamError, ["memory"], assembled, ONCE, data)
        self.assertEqual(error.partial.text, "Once")

    def test_a_long_stream_of_letters_takes_little_memory(self):
        letters = framed(event(chunk("x")) * 1000)
        ending = [framed(event(END) + event("[DONE]")), LAST]
        stream = self.client(self.serve([SSE_HEAD, *[letters] * 6, *ending])).stream
        peak, _ = memory(lambda: stream("hi").get_final_completion())
        self.assertLess(peak, 3 << 20)  # were the chunks kept, it would be 9

    def test_what_unpacks_without_end_takes_bounded_memory(self):
        size = 4 << 20
        self.limit(MAX_ANSWER_BYTES=size)
        self.assertLess(6 * LIMITS["MAX_ANSWER_BYTES"], 400 << 20)
        for name, piece in BOMBS:
            bomb = gzip.compress(b'{"choices": [' + piece * (3 * size // len(piece)), 1)
            server = self.serve(http_answer(200, bomb, Content_Encoding="gzip"))
            call = functools.partial(self.client(server).complete, "hi")
            with self.subTest(name):
                refused = functools.partial(self.refused, ResponseError, [], call)
                self.assertLess(memory(refused)[0], 6 * size)

    def test_what_is_kept_of_a_deep_error_can_be_pickled(self):
        for name, answer in (
            ("status", http_answer(400, DEEP_ERROR)),
            ("whole", http_answer(200, DEEP_ERROR)),
            ("event", sse(ONCE, DEEP_ERROR)),
            ("error event", sse(ONCE, event(DEEP_ERROR, event="error"))),
        ):
            client = self.client(self.serve(answer))
            with self.subTest(name), self.assertRaises(SirayaError) as caught:
                ask(client, "event" in name)
            error = caught.exception
            twin = pickle.loads(pickle.dumps(error))
            self.assertEqual((str(twin), twin.body), (str(error), error.body))
            json.dumps(error.body)

    def test_the_parser_takes_any_bytes(self):
        for kind in (bytes, bytearray, memoryview):
            with self.subTest(kind.__name__):
                (parsed_event,) = SSEParser().feed(kind(b"data: x\n\n"))
                self.assertEqual(parsed_event.data, "x")


class SharedWays(Test):
    def test_clients_that_share_connections_do_not_close_each_others(self):
        servers = [self.serve(ANSWER), self.serve(ANSWER)]
        first = self.client(servers[0])
        second = first.with_options(base_url=servers[1].base_url)
        for _ in range(4):
            first.complete("hi")
            second.complete("hi")
        self.assertEqual([server.connections for server in servers], [1, 1])

    def test_a_proxy_that_echoes_its_password_does_not_publish_it(self):
        def script(received):
            return http_answer(502, "no " + received.headers["proxy-authorization"])

        proxy = self.serve(script)
        client = self.client(
            "http://localhost:9/v1",
            proxy="http://user:password@" + proxy.address,
            max_retries=0,
        )
        error = self.refused(
            InternalServerError, ["no Basic ***"], client.complete, "hi"
        )
        self.assertNotIn(text64(b"user:password"), str(error) + str(error.body))

    def test_a_stream_that_begins_with_blank_lines_costs_what_they_weigh(self):
        servers = {}
        for size in (5000, 20000):
            blanks = framed(b"\n") * size
            servers[size] = self.serve(SSE_HEAD + blanks + STREAM[len(SSE_HEAD) :])

        def read(size):
            stream = self.client(servers[size]).stream("hi")
            self.assertEqual(stream.get_final_completion().text, "Once upon")

        self.assertLess(growth(read, 5000, 20000), 8)


# === asyncio ==========================================================================


SAME_ANSWERS = (  # what is asked, and what is answered
    ({}, STREAM),
    ({"tools": [TOOL]}, describe),
    ({"response_format": {"type": "json_object"}}, describe),
    ({"n": 2}, sse(ONCE, chunk("Two", "stop", 1), UPON, END)),
    ({}, ANSWER),
)
SAME_FAILURES = (  # what fails, the steps of the answer, options of the call
    ("a bad request", [http_answer(400, REFUSAL)], {}),
    ("a wrong key", [http_answer(401, REFUSAL)], {}),
    ("no balance", [http_answer(402, REFUSAL)], {}),
    ("no permission", [http_answer(403, REFUSAL)], {}),
    ("no such path", [http_answer(404, REFUSAL)], {}),
    ("a conflict", [http_answer(409, REFUSAL)], {}),
    ("a value that cannot be", [http_answer(422, REFUSAL)], {}),
    ("too many requests", [http_answer(429, REFUSAL, Retry_After="7")], {}),
    ("trouble", [http_answer(503, "<title>Sorry</title>")], {}),
    ("not JSON", [http_answer(200, "hello")], {}),
    ("an error in a 200", [http_answer(200, REFUSAL)], {}),
    ("a drop", [CLOSE], {}),
    ("silence", [SILENCE], {"timeout": 0.1}),
    ("a broken stream", BROKEN, {}),
    ("a deadline", HELD, {"deadline": 0.3}),
)
WAITING = (  # where the server falls silent, steps before a request, steps after it
    ("before the head", (), [SILENCE]),
    ("in the head", (), [b"HTTP/1.1 200 OK\r\nContent-", SILENCE]),
    ("after a 100", (), [b"HTTP/1.1 100 Continue\r\n\r\n", SILENCE]),
    ("in the body", (), [JSON_HEAD + framed(b'{"choices": '), SILENCE]),
    ("in the body of an error", (), [http_answer(503, "no")[:-1], SILENCE]),
)
NOT_HERE = (  # names of the OpenAI SDK that there are none of, from the client on
    "audio",
    "batches",
    "completions",
    "embeddings",
    "files",
    "images",
    "responses",
    "with_raw_response",
    "chat.completions.list",
    "chat.completions.retrieve",
    "chat.completions.stream",
    "chat.completions.with_raw_response",
    "chat.completions.with_streaming_response",
    "chat.with_raw_response",
    "models.delete",
)
SDK_PROGRAM = """\
import asyncio
from openai import AsyncOpenAI

client = AsyncOpenAI()

async def main():
    messages = [{"role": "user", "content": "Say this is a test"}]
    stream = await client.chat.completions.create(
        model="gpt-4o", messages=messages, stream=True
    )
    async for chunk in stream:
        print(chunk.choices[0].delta.content or "", end="")
    whole = await client.chat.completions.create(model="gpt-4o", messages=messages)
    print("|" + whole.choices[0].message.content)

asyncio.run(main())
"""
EVERYTHING = """\
import asyncio
from siraya_chat import AsyncClient, BadRequestError, StreamError

client = AsyncClient(model="m")

async def main():
    asyncio.get_running_loop().slow_callback_duration = 60  # for a machine under load
    print((await client.complete("hi")).text)
    async with await client.stream("hi") as stream:
        print("".join([piece async for piece in stream.text_stream]))
    async for piece in (await client.stream("hi")).text_stream:
        break
    try:
        await client.complete("refuse")
    except BadRequestError:
        print("refused")
    dropped = await client.stream("hold")
    await dropped.__anext__()
    del dropped
    for work in (client.complete("hold"), client.stream("hold"), read_held()):
        try:
            await asyncio.wait_for(work, 0.1)
        except asyncio.TimeoutError:
            print("timed out")
        except StreamError:
            print("failed")
    await client.close()

async def read_held():
    async for _ in await client.stream("hold"):
        pass

asyncio.run(main())
"""
EVERYTHING_SAID = "Once upon\nOnce upon\nrefused\ntimed out\n"
ASYNC_LEFT_OPEN = """\
import asyncio
from siraya_chat import AsyncClient

async def main():
    global stream
    asyncio.get_running_loop().slow_callback_duration = 60  # for a machine under load
    stream = await AsyncClient(model="m").stream("hi")
    async for chunk in stream:
        print(chunk.choices[0].delta.content)
        break

asyncio.run(main())
"""
LATE_ANSWER = """\
import asyncio, socket, threading
from siraya_chat import AsyncClient

def resolve(*arguments, **named):
    go_on.wait(20)
    return real(*arguments, **named)

async def main(client):
    asyncio.get_running_loop().slow_callback_duration = 60  # for a machine under load
    for call in (client.complete, client.stream):
        try:
            await asyncio.wait_for(call("hi"), 0.05)
        except asyncio.TimeoutError:
            print("timed out")

real, socket.getaddrinfo = socket.getaddrinfo, resolve
go_on = threading.Event()
asyncio.run(main(AsyncClient(model="m")))
go_on.set()
for thread in threading.enumerate():
    if thread is not threading.current_thread():
        thread.join(20)
"""
CLOSED_LOOP = """\
import asyncio, logging, threading
from siraya_chat import AsyncClient

logging.disable(logging.ERROR)  # asyncio's own, of the task that is left pending
client = AsyncClient(model="m")
loop = asyncio.new_event_loop()
pending = loop.create_task(client.%s("hi"))
loop.run_until_complete(asyncio.sleep(0))
loop.close()
print("closed", flush=True)
input()
for thread in threading.enumerate():
    if thread is not threading.current_thread():
        thread.join(20)
print("done")
"""
INTERRUPTED = """\
import asyncio
from siraya_chat import AsyncClient

async def main():
    asyncio.get_running_loop().slow_callback_duration = 60  # for a machine under load
    async for chunk in await AsyncClient(model="m").stream("hi"):
        print(chunk.choices[0].delta.content, flush=True)

try:
    asyncio.run(main())
except KeyboardInterrupt:
    print("interrupted")
"""


def on_a_loop(work):
    """What a coroutine function gives, on a loop of its own, and within a minute."""

    async def bounded():
        return await asyncio.wait_for(work(), 60)

    return asyncio.run(bounded())


async def until(wait, *arguments):
    """What a function that blocks gives, while the loop turns."""
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(None, wait, *arguments)


async def ask_async(client, streamed, **options):
    """The completion of a whole call of an AsyncClient, or of a streamed one."""
    if not streamed:
        return await client.complete("hi", **options)
    return await (await client.stream("hi", **options)).get_final_completion()


async def read_all(client):
    """The pieces of text of a streamed call."""
    stream = await client.stream("hi")
    return [piece async for piece in stream.text_stream]


async def is_cancelled(task):
    """Whether the task, which is cancelled now, ends so."""
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        return True
    return False


def outcome_of(function, *arguments, **named):
    """What a call gives: its answer, or its failure as far as a user can tell."""
    try:
        return function(*arguments, **named)
    except SirayaError as error:
        partial = getattr(error, "partial", None)
        return type(error), str(error), error.body, partial, vars(error).keys()


def by_what_was_asked(received):
    """Says "Once upon", refuses or falls silent, as the message has it."""
    said = received.json["messages"][0]["content"]
    is_stream = received.json["stream"]
    if said == "refuse":
        return http_answer(400, REFUSAL)
    if said == "hold":
        return HELD if is_stream else [SILENCE]
    return STREAM if is_stream else ANSWER


class AsyncTest(Test):
    def async_client(self, server, **options):
        """An AsyncClient of a stand-in or a URL."""
        url = server if isinstance(server, str) else server.base_url
        options.setdefault("model", "m")
        options.setdefault("timeout", 30.0)  # so that no test hangs
        client = AsyncClient(KEY, url, **options)
        self.addCleanup(on_a_loop, client.close)
        return client

    def refused_async(self, error, words, work):
        """As `refused`, of a coroutine function."""
        return self.refused(error, words, on_a_loop, work)


class Asyncio(AsyncTest):
    def test_the_answers_are_those_of_client(self):
        for params, answer in SAME_ANSWERS:
            server = self.serve(answer)
            client, other = self.client(server), self.async_client(server)
            for streamed in (False, True):
                with self.subTest(params, streamed=streamed):
                    ask_it = functools.partial(ask_async, other, streamed, **params)
                    if streamed:
                        expected = client.stream("hi", **params).get_final_completion()
                    else:
                        expected = client.complete("hi", **params)
                    answer = on_a_loop(ask_it)
                    self.assertEqual(answer, expected)
                    self.assertIs(type(answer), Completion)

    def test_the_failures_are_those_of_client(self):
        def check(failure, streamed):
            _, steps, options = failure
            server = self.serve(steps)
            client = self.client(server, max_retries=0, **options)
            other = self.async_client(server, max_retries=0, **options)
            ask_it = functools.partial(ask_async, other, streamed)
            outcome = outcome_of(on_a_loop, ask_it)
            self.assertIsInstance(outcome, tuple)
            self.assertEqual(outcome, outcome_of(ask, client, streamed))

        self.side_by_side(check, [*itertools.product(SAME_FAILURES, (False, True))])

    def test_the_requests_are_those_of_client(self):
        server = self.serve()
        options = {"extra_headers": {"X-Tag": "a"}, "extra_query": {"b": "c"}}
        with self.client(server) as client:
            client.complete("hi", temperature=0, extra_body={"x": 1}, **options)
        other = self.async_client(server)
        on_a_loop(
            lambda: other.complete("hi", temperature=0, extra_body={"x": 1}, **options)
        )
        first, second = server.requests
        self.assertEqual(second.headers, first.headers)
        self.assertEqual(second.target, first.target)
        self.assertEqual(second.body, first.body)

    def test_bad_arguments_are_refused_before_a_byte_is_sent(self):
        server = self.serve()
        client = self.async_client(server)
        for name, value, error in PARAMETERS:
            for call in (client.complete, client.stream):
                with self.subTest(call=call.__name__, **{name: value}):
                    work = functools.partial(call, "hi", **{name: value})
                    self.refused_async(error, [name], work)
        self.assertEqual(server.connections, 0)

    def test_bad_settings_are_refused_at_once(self):
        for name, value, error in SETTINGS:
            with self.subTest(**{name: value}):
                self.refused(error, [name], AsyncClient, KEY, **{name: value})

    def test_a_method_that_cannot_do_what_stream_says_names_the_one_that_can(self):
        client = self.async_client(self.serve())
        for words, call, stream in (
            (["complete()"], client.stream, False),
            (["stream()"], client.complete, True),
        ):
            work = functools.partial(call, "hi", stream=stream)
            self.refused_async(TypeError, words, work)

    def test_a_failure_that_passes_is_not_seen(self):
        for streamed, answer in ((False, ANSWER), (True, STREAM)):
            with self.subTest(streamed=streamed):
                server = self.serve(http_answer(503), [CLOSE], answer)
                client = self.async_client(server)
                reply = on_a_loop(functools.partial(ask_async, client, streamed))
                self.assertEqual(reply.text, "Once upon")
                self.assertEqual(len(server.requests), 3)

    def test_the_loop_turns_while_streams_wait_side_by_side(self):
        go_on = threading.Event()
        begun = SSE_HEAD + framed(event(ONCE))
        server = self.serve([begun, go_on, STREAM[len(SSE_HEAD) :]])
        client = self.async_client(server)
        waiting = set(range(30))

        async def read(number):
            pieces = []
            async for piece in (await client.stream("hi")).text_stream:
                pieces.append(piece)
                waiting.discard(number)
                if not waiting:  # every stream has its first piece
                    go_on.set()
            return pieces

        async def main():
            return await asyncio.gather(*map(read, range(30)))

        self.assertEqual(on_a_loop(main), [["Once", "Once", " upon"]] * 30)

    def test_calls_use_no_thread_of_the_loops_executor(self):
        server = self.serve(by_what_was_asked)
        client = self.async_client(server)

        async def main():
            loop = asyncio.get_running_loop()
            with mock.patch.object(loop, "run_in_executor", side_effect=AssertionError):
                await asyncio.gather(client.complete("hi"), read_all(client))

        on_a_loop(main)

    def test_the_chunks_come_in_their_order(self):
        words = ["%d " % number for number in range(2000)]
        server = self.serve(sse(*map(chunk, words), END, "[DONE]"))
        client = self.async_client(server)
        self.assertEqual(on_a_loop(lambda: read_all(client)), words)

    def test_a_client_serves_one_loop_after_the_other(self):
        client = self.async_client(self.serve(ANSWER))
        for _ in range(3):
            answer = on_a_loop(lambda: client.complete("hi"))
            self.assertEqual(answer.text, "Once upon")

    def test_a_consumer_that_stops_reading_stops_the_server(self):
        count, size, sent = 150, 1 << 18, []

        def flood(received):
            yield SSE_HEAD
            for number in range(count):
                yield framed(event(chunk("%07d " % number + "x" * size)))
                sent.append(number)
            yield framed(event(END) + event("[DONE]")) + LAST

        async def until_still():
            """Waits until for a while nothing more is sent."""
            before, still = -1, 0
            while still < 6:
                await asyncio.sleep(0.05)
                still = still + 1 if len(sent) == before else 0
                before = len(sent)

        async def main():
            stream = await self.async_client(self.serve(flood)).stream("hi")
            pieces = stream.text_stream
            numbers = [int((await pieces.__anext__())[:8])]
            await until_still()
            # A consumer may be 100 small chunks behind; the kernel holds some of these.
            self.assertLess(len(sent), count / 2)
            async for piece in pieces:
                numbers.append(int(piece[:8]))
            return numbers

        self.assertEqual(on_a_loop(main), list(range(count)))

    def test_a_thread_that_cannot_start_is_a_clear_error(self):
        server = self.serve(ANSWER)
        client = self.async_client(server)
        full = RuntimeError("can't start new thread")
        for name, work in (
            ("complete", lambda: client.complete("hi")),
            ("stream", lambda: client.stream("hi")),
            ("models", lambda: client.models.list()),
        ):
            with self.subTest(name):
                with mock.patch("threading.Thread.start", side_effect=full):
                    self.refused_async(SirayaError, ["thread"], work)
        self.assertEqual(server.connections, 0)

    def test_whatever_the_function_for_the_key_raises_ends_the_call(self):
        for raised, expected in (
            (KeyError("no key"), KeyError),
            (StopIteration(), RuntimeError),  # what Python makes of it in a coroutine
        ):
            with self.subTest(type(raised).__name__):
                client = self.async_client(self.serve(ANSWER))
                client.api_key = mock.Mock(side_effect=raised)
                for streamed in (False, True):
                    with self.assertRaises(expected):
                        on_a_loop(functools.partial(ask_async, client, streamed))

    def test_asyncios_debug_mode_has_no_complaint(self):
        server = self.serve(by_what_was_asked)
        command = (sys.executable, "-X", "dev", "-c", EVERYTHING)
        outcome = run_process(server, *command)
        self.assertEqual((outcome.status, outcome.err), (0, ""))
        self.assertTrue(outcome.out.startswith(EVERYTHING_SAID), outcome.out)

    def test_an_answer_that_comes_after_the_loop_has_gone_is_dropped_in_silence(self):
        server = self.serve(by_what_was_asked)
        command = (sys.executable, "-X", "dev", "-c", LATE_ANSWER)
        outcome = run_process(server, *command)
        self.assertEqual(outcome, (0, "timed out\ntimed out\n", ""))
        self.assertEqual(server.requests, [])

    def test_a_loop_that_is_closed_during_a_call_ends_it_without_a_word(self):
        def check(call, answer):
            go_on = threading.Event()
            server = self.serve([go_on, *answer])
            command = (sys.executable, "-X", "dev", "-c", CLOSED_LOOP % call)
            with start_process(server, *command, stdin=subprocess.PIPE) as process:
                self.assertEqual(process.stdout.readline(), b"closed\n")
                self.assertTrue(server.wait_asked())
                go_on.set()
                self.assertTrue(server.wait_closed())
                self.assertEqual(process.communicate(b"\n", 60), (b"done\n", b""))

        self.side_by_side(check, (("complete", [ANSWER, CLOSE]), ("stream", HELD)))


class AsyncCancelling(AsyncTest):
    def check_cancelling(self, server, work):
        """A call that the server keeps waiting ends at once when its task is cancelled,
        and its connection too; no other request is sent."""

        async def main():
            task = asyncio.ensure_future(work())
            self.assertTrue(await until(server.wait_asked))
            self.assertTrue(await is_cancelled(task))
            self.assertTrue(await until(server.wait_closed))

        on_a_loop(main)
        self.assertEqual((len(server.requests), server.connections), (1, 1))

    def test_cancelling_ends_the_request_wherever_the_server_is_silent(self):
        for name, greeting, steps in WAITING:
            for streamed in (False, True):
                with self.subTest(name, streamed=streamed):
                    server = self.serve(steps, greeting=greeting)
                    client = self.async_client(server)
                    work = functools.partial(ask_async, client, streamed)
                    self.check_cancelling(server, work)

    def test_cancelling_ends_the_request_while_a_stream_is_read(self):
        server = self.serve(HELD)
        client = self.async_client(server)
        first = threading.Event()

        async def read():
            async for _ in await client.stream("hi"):
                first.set()

        async def main():
            task = asyncio.ensure_future(read())
            self.assertTrue(await until(first.wait, 20))
            self.assertTrue(await is_cancelled(task))
            self.assertTrue(await until(server.wait_closed))

        on_a_loop(main)

    def test_a_wait_for_that_times_out_ends_the_request(self):
        for steps in ([SILENCE], HELD):
            server = self.serve(steps)
            work = functools.partial(ask_async, self.async_client(server), True)

            async def main():
                with self.assertRaises(asyncio.TimeoutError):
                    await asyncio.wait_for(work(), 0.1)
                self.assertTrue(await until(server.wait_closed))

            on_a_loop(main)

    def test_a_gather_that_is_cancelled_ends_all_its_requests(self):
        server = self.serve([SILENCE])
        client = self.async_client(server)

        async def main():
            calls = [client.complete("hi"), client.stream("hi"), read_all(client)]
            task = asyncio.gather(*calls)
            await until(server.wait, lambda: len(server.requests) == 3)
            self.assertTrue(await is_cancelled(task))
            closed = await until(server.wait, lambda: len(server.closed) == 3)
            self.assertTrue(closed)

        on_a_loop(main)

    @unittest.skipUnless(
        sys.platform == "linux",
        "needs a listener that drops connections when its queue is full",
    )
    def test_cancelling_ends_the_wait_for_a_connection(self):
        connecting, connect = threading.Event(), socket.socket.connect

        def noted(*arguments):
            connecting.set()
            return connect(*arguments)

        with contextlib.ExitStack() as stack:
            listener = stack.enter_context(socket.socket())
            listener.bind(("127.0.0.1", 0))
            listener.listen(0)
            for _ in range(4):  # fill the queue: from now on nothing is answered
                filler = stack.enter_context(socket.socket())
                filler.setblocking(False)
                filler.connect_ex(listener.getsockname())
            url = "http://127.0.0.1:%d/v1" % listener.getsockname()[1]
            client = self.async_client(url, connect_timeout=300.0)
            for streamed in (False, True):
                connecting.clear()
                before = set(threading.enumerate())

                async def main():
                    task = asyncio.ensure_future(ask_async(client, streamed))
                    while not connecting.is_set():
                        await asyncio.sleep(0.001)
                    self.assertTrue(await is_cancelled(task))

                with mock.patch("socket.socket.connect", noted):
                    on_a_loop(main)
                    self.assert_end(set(threading.enumerate()) - before)

    def assert_end(self, threads):
        """The threads come to their end."""
        for thread in threads:
            thread.join(20)
            self.assertFalse(thread.is_alive())

    def test_cancelling_ends_the_wait_for_tls(self):
        server = self.serve(greeting=[SILENCE])
        client = self.async_client(server.base_url.replace("http", "https"))

        async def main():
            task = asyncio.ensure_future(client.complete("hi"))
            while not server.connections:
                await asyncio.sleep(0.001)
            self.assertTrue(await is_cancelled(task))
            self.assertTrue(await until(server.wait, lambda: server.closed))

        on_a_loop(main)
        self.assertEqual(server.connections, 1)

    def test_cancelling_ends_the_sending_to_a_server_that_does_not_read(self):
        listener = socket.socket()
        self.addCleanup(listener.close)
        listener.bind(("127.0.0.1", 0))
        listener.listen(8)
        listener.settimeout(20)
        url = "http://127.0.0.1:%d/v1" % listener.getsockname()[1]
        client = self.async_client(url)
        size = 32 << 20  # more than any buffer on the way takes

        def read_to_the_end(connection):
            count, data = 0, b"-"
            with connection, contextlib.suppress(ConnectionError):
                while data:
                    data = connection.recv(1 << 16)
                    count += len(data)
            return count

        async def main():
            task = asyncio.ensure_future(client.complete("x" * size))
            connection = (await until(listener.accept))[0]
            connection.settimeout(20)
            await until(connection.recv, 1, socket.MSG_PEEK)
            self.assertTrue(await is_cancelled(task))
            return await until(read_to_the_end, connection)

        self.assertLess(on_a_loop(main), size)

    def test_cancelling_ends_the_wait_for_another_attempt(self):
        busy = http_answer(503, "", Retry_After="50")
        for streamed in (False, True):
            keys, before = [], set(threading.enumerate())

            async def main():
                with self.assertLogs("siraya_chat", "INFO") as log:
                    task = asyncio.ensure_future(ask_async(client, streamed))
                    while not log.records:
                        await asyncio.sleep(0.001)
                    calling = set(threading.enumerate()) - before
                    self.assertTrue(await is_cancelled(task))
                return calling

            with StandIn(busy) as server:
                client = self.async_client(server)
                client.api_key = lambda: keys.append(KEY) or KEY
                calling = on_a_loop(main)
            self.assert_end(calling)
            self.assertEqual((len(server.requests), keys), (1, [KEY]))

    def test_a_cancelled_call_is_not_tried_again(self):
        keys, server = [], self.serve([SILENCE])
        client = self.async_client(server)
        client.api_key = lambda: keys.append(KEY) or KEY
        self.check_cancelling(server, lambda: client.complete("hi"))
        self.assertEqual(keys, [KEY])

    def test_cancelling_leaves_behind_what_the_name_resolution_holds(self):
        asked, go_on = threading.Event(), threading.Event()
        self.addCleanup(go_on.set)

        def resolve(*arguments, **named):
            asked.set()
            go_on.wait(20)
            raise socket.gaierror("too late")

        async def main():
            task = asyncio.ensure_future(client.complete("hi"))
            self.assertTrue(await until(asked.wait, 20))
            self.assertTrue(await is_cancelled(task))

        client = self.async_client(self.serve())
        with mock.patch("socket.getaddrinfo", resolve):
            on_a_loop(main)
            self.assertFalse(go_on.is_set())

    def test_a_call_that_ended_does_not_end_the_next_one_on_its_connection(self):
        server = self.serve(http_answer(400, REFUSAL), http_answer(404), ANSWER)
        client = self.async_client(server)

        async def main():
            for streamed in (False, True):
                with self.assertRaises(APIStatusError):
                    await ask_async(client, streamed)
            return await client.complete("hi")

        self.assertEqual(on_a_loop(main).text, "Once upon")
        self.assertEqual(server.connections, 1)

    def test_cancelling_between_attempts_does_not_end_another_call(self):
        go_on = threading.Event()
        busy = http_answer(503, "", Retry_After="50")
        server = self.serve(busy, [go_on, ANSWER])
        client = self.async_client(server, max_retries=1)

        async def main():
            with self.assertLogs("siraya_chat", "INFO") as log:
                first = asyncio.ensure_future(client.complete("first"))
                while not log.records:
                    await asyncio.sleep(0.001)
            # The second call takes the connection that the first has left.
            second = asyncio.ensure_future(client.complete("second"))
            await until(server.wait, lambda: len(server.requests) == 2)
            self.assertEqual(server.connections, 1)
            self.assertTrue(await is_cancelled(first))
            go_on.set()
            return await second

        self.assertEqual(on_a_loop(main).text, "Once upon")
        self.assertEqual((len(server.requests), server.connections), (2, 1))

    @unittest.skipUnless(os.name == "posix", "needs signals")
    def test_ctrl_c_ends_the_request_in_silence(self):
        server = self.serve(HELD)
        command = (sys.executable, "-X", "dev", "-c", INTERRUPTED)
        process = start_process(server, *command, preexec_fn=default_interrupt)
        with process:
            self.assertEqual(process.stdout.readline(), b"Once\n")
            process.send_signal(signal.SIGINT)
            try:
                output = process.communicate(timeout=10)
            except subprocess.TimeoutExpired:
                # CPython misses a signal just before a wait; a second one wakes it.
                process.send_signal(signal.SIGINT)
                watchdog = threading.Timer(20, process.kill)
                watchdog.start()
                output = process.communicate()
                watchdog.cancel()
            self.assertEqual(output, (b"interrupted\n", b""))
        self.assertTrue(server.wait_closed())


class AsyncStreams(AsyncTest):
    def check_leaving(self, leave):
        """The request ends, and its connection is closed, not drained and kept."""
        server = self.serve(HELD, ANSWER)
        client = self.async_client(server)

        async def main():
            await leave(await client.stream("hi"))
            gc.collect()
            self.assertTrue(await until(server.wait_closed))
            await client.complete("hi")

        on_a_loop(main)
        self.assertEqual(server.connections, 2)

    def test_close_ends_the_request(self):
        async def close(stream):
            await stream.__anext__()
            await stream.close()

        self.check_leaving(close)

    def test_aclose_ends_the_request(self):
        async def close(stream):
            await stream.__anext__()
            await stream.aclose()

        self.check_leaving(close)

    def test_leaving_an_async_with_block_ends_the_request(self):
        async def leave(stream):
            async with stream as same:
                self.assertIs(same, stream)
                async for _ in stream:
                    break

        self.check_leaving(leave)

    def test_an_exception_in_an_async_with_block_ends_the_request(self):
        async def leave_by_exception(stream):
            with contextlib.suppress(KeyError):
                async with stream:
                    async for _ in stream.text_stream:
                        raise KeyError

        self.check_leaving(leave_by_exception)

    def test_dropping_a_stream_ends_the_request(self):
        async def drop(stream):
            async for _ in stream:
                break

        self.check_leaving(drop)

    def test_dropping_the_text_of_a_stream_ends_the_request(self):
        async def drop(stream):
            async for _ in stream.text_stream:
                break

        self.check_leaving(drop)

    def test_a_stream_that_is_never_read_ends_the_request_too(self):
        async def never_begin(stream):
            pass

        self.check_leaving(never_begin)

    def test_closing_twice_and_after_the_end_is_harmless(self):
        client = self.async_client(self.serve(STREAM))

        async def main():
            stream = await client.stream("hi")
            await stream.get_final_completion()
            await stream.close()
            await stream.close()
            return await stream.get_final_completion()

        self.assertEqual(on_a_loop(main).text, "Once upon")

    def test_close_from_another_task_wakes_the_reader(self):
        server = self.serve(HELD)

        async def main():
            stream = await self.async_client(server).stream("hi")
            self.assertEqual(await stream.__anext__(), ONCE)
            reading = asyncio.ensure_future(stream.__anext__())
            await asyncio.sleep(0)
            await stream.close()
            await reading

        error = self.refused_async(StreamError, ["closed"], main)
        self.assertEqual(error.partial.text, "Once")
        self.assertTrue(server.wait_closed())

    def test_a_wait_for_the_next_chunk_that_times_out_ends_the_stream(self):
        server = self.serve(HELD)

        async def main():
            stream = await self.async_client(server).stream("hi")
            self.assertEqual(await stream.__anext__(), ONCE)
            with self.assertRaises(asyncio.TimeoutError):
                await asyncio.wait_for(stream.__anext__(), 0.05)
            self.assertTrue(await until(server.wait_closed))
            async for _ in stream:
                self.fail("the stream went on")

        error = self.refused_async(StreamError, ["closed"], main)
        self.assertEqual(error.partial.text, "Once")

    def test_a_stream_cut_short_raises_after_its_last_piece_whenever_it_is_read(self):
        async def main():
            pieces, errors = [], []
            stream = await self.async_client(self.serve(BROKEN)).stream("hi")
            for _ in range(2):
                try:
                    async for piece in stream.text_stream:
                        pieces.append(piece)
                except StreamError as error:
                    errors.append(error)
            with self.assertRaises(StreamError):
                await stream.get_final_completion()
            return pieces, [error.partial.text for error in errors]

        self.assertEqual(on_a_loop(main), (["Once", " upon"], ["Once upon"] * 2))

    def test_a_stream_can_be_read_by_chunks_then_as_text_then_whole(self):
        async def main():
            stream = await self.async_client(self.serve(STREAM)).stream("hi")
            first = await stream.__anext__()
            pieces = [piece async for piece in stream.text_stream]
            return first, pieces, (await stream.get_final_completion()).text

        self.assertEqual(on_a_loop(main), (ONCE, [" upon"], "Once upon"))

    def test_half_a_surrogate_pair_at_the_end_of_the_text_is_replaced(self):
        server = self.serve(sse(chunk("a\ud83d"), END, "[DONE]"))
        pieces = on_a_loop(lambda: read_all(self.async_client(server)))
        self.assertEqual("".join(pieces), "a\ufffd")

    def test_two_tasks_that_read_one_stream_are_an_error_of_the_second(self):
        client = self.async_client(self.serve(HELD))

        async def main():
            stream = await client.stream("hi")
            self.assertEqual(await stream.__anext__(), ONCE)
            first = asyncio.ensure_future(stream.__anext__())
            await asyncio.sleep(0)
            with self.assertRaisesRegex(RuntimeError, "another task"):
                await stream.__anext__()
            self.assertTrue(await is_cancelled(first))

        on_a_loop(main)

    def test_a_stream_that_has_ended_stays_so(self):
        async def main():
            stream = await self.async_client(self.serve(STREAM)).stream("hi")
            first = [item async for item in stream]
            return first, [item async for item in stream]

        self.assertEqual(on_a_loop(main), ([ONCE, UPON, END], []))

    def test_the_request_id_and_the_headers_are_those_of_the_answer(self):
        head = {"x_request_id": "r-1", "X_Served_By": "a"}
        body = b"".join(map(event, (ONCE, END, "[DONE]")))
        events = {"Content_Type": "text/event-stream"}
        streamed = http_answer(200, body, **events, **head)
        server = self.serve(streamed, http_answer(200, completion("Hi"), **head))
        client = self.async_client(server)

        async def main():
            stream = await client.stream("hi")
            whole = await client.complete("hi")
            return [stream, await stream.get_final_completion(), whole]

        for answer in on_a_loop(main):
            self.assertEqual(answer.request_id, "r-1")
            self.assertEqual(answer.headers["x-served-by"], "a")

    def test_a_stream_of_client_is_not_for_async_for(self):
        self.assertFalse(hasattr(Stream, "__aiter__"))

    def test_an_interpreter_that_ends_with_an_open_stream_says_nothing(self):
        server = self.serve(HELD)
        command = (sys.executable, "-X", "dev", "-c", ASYNC_LEFT_OPEN)
        outcome = run_process(server, *command)
        self.assertEqual(outcome, (0, "Once\n", ""))
        self.assertTrue(server.wait_closed())

    def test_streams_that_are_closed_while_they_are_read_fail_in_no_other_way(self):
        pieces = [framed(event(ONCE)), 0.0002] * 200
        server = self.serve([SSE_HEAD, *pieces, SILENCE])
        client = self.async_client(server)

        async def read(number):
            stream = await client.stream("hi")
            closing = asyncio.ensure_future(close_later(stream, number))
            try:
                with self.assertRaises(StreamError):
                    async for item in stream:
                        self.assertEqual(item, ONCE)
            finally:
                await closing

        async def close_later(stream, number):
            await asyncio.sleep(number / 2000)
            await stream.close()

        async def main():
            await asyncio.gather(*map(read, range(40)))

        on_a_loop(main)


ONLY_SOME = (  # fields that neither the API nor the SDK defines
    "reasoning",
    "reasoning_content",
    "reasoning_details",
    "images",
    "citations",
    "native_finish_reason",
)
INSTEAD = (  # what is not here, from the client on; a word of what to use
    ("responses", "chat.completions"),
    ("embeddings", "HTTP request"),
    ("images", "chat.completions"),
    ("completions", "chat.completions"),
    ("with_raw_response", "headers"),
    ("chat.with_raw_response", "headers"),
    ("chat.completions.with_raw_response", "headers"),
    ("chat.completions.with_streaming_response", "stream("),
    ("chat.completions.stream", "stream=True"),
    ("beta.threads", "threads"),
    ("models.delete", "delete"),
)
PUBLIC_NAMES = [
    "beta",
    "chat",
    "close",
    "complete",
    "copy",
    "list_models",
    "models",
    "stream",
    "with_options",
]


class Event:
    """A class for structured output as pydantic's are."""

    def __init__(self, fields):
        self.fields = fields

    @classmethod
    def model_json_schema(cls):
        return {
            "$defs": {
                "Place": {
                    "type": "object",
                    "properties": {"city": {"type": "string", "default": None}},
                }
            },
            "type": "object",
            "title": "Event",
            "properties": {
                "day": {"type": "string"},
                "places": {"type": "array", "items": {"$ref": "#/$defs/Place"}},
                "first": {"$ref": "#/$defs/Place", "description": "the first one"},
                "last": {"anyOf": [{"$ref": "#/$defs/Place"}, {"type": "null"}]},
                "only": {"allOf": [{"$ref": "#/$defs/Place"}], "default": None},
            },
            "required": ["day"],
        }

    @classmethod
    def model_validate_json(cls, text):
        fields = json.loads(text)
        if not isinstance(fields["day"], str):
            raise LookupError("day is no text")
        return cls(fields)


STRICT_PLACE = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "additionalProperties": False,
    "required": ["city"],
}
EVENT_FORMAT = {  # what the SDK makes of it
    "type": "json_schema",
    "json_schema": {
        "name": "Event",
        "strict": True,
        "schema": {
            "$defs": {"Place": STRICT_PLACE},
            "type": "object",
            "title": "Event",
            "properties": {
                "day": {"type": "string"},
                "places": {"type": "array", "items": {"$ref": "#/$defs/Place"}},
                "first": dict(STRICT_PLACE, description="the first one"),
                "last": {"anyOf": [{"$ref": "#/$defs/Place"}, {"type": "null"}]},
                "only": {"$ref": "#/$defs/Place"},
            },
            "required": ["day", "places", "first", "last", "only"],
            "additionalProperties": False,
        },
    },
}


class ComingFromTheSDK(AsyncTest):
    def clients(self, server):
        return [self.client(server), self.async_client(server)]

    def test_create_is_the_door_of_the_openai_sdk(self):
        create = self.async_client(self.serve()).chat.completions.create
        hi = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}

        async def main():
            self.assertIs(type(await create(**hi)), Completion)
            self.assertIs(type(await create(stream=False, **hi)), Completion)
            self.assertIs(type(await create(stream=None, **hi)), Completion)
            async with await create(stream=True, **hi) as stream:
                self.assertIs(type(stream), AsyncStream)

        on_a_loop(main)

    def test_a_stream_that_is_no_boolean_is_refused_before_a_byte_is_sent(self):
        server = self.serve()
        hi = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
        create = self.client(server).chat.completions.create
        create_async = self.async_client(server).chat.completions.create
        for value in ("yes", 1, [True], {"a": 1}):
            with self.subTest(value):
                self.refused(TypeError, ["stream"], create, stream=value, **hi)
                work = functools.partial(create_async, stream=value, **hi)
                self.refused_async(TypeError, ["stream"], work)
        self.assertEqual(server.connections, 0)

    def test_a_program_of_the_sdk_runs_with_another_import(self):
        program = SDK_PROGRAM.replace(
            "from openai import AsyncOpenAI",
            "from siraya_chat import AsyncClient as AsyncOpenAI",
        )
        command = (sys.executable, "-c", program)
        outcome = run_process(self.serve(), *command)
        self.assertEqual((outcome.status, outcome.err), (0, ""))
        streamed, whole = outcome.out.strip().split("|")
        self.assertIn("model gpt-4o; 1 message (user)", streamed)
        self.assertEqual(streamed, whole)

    def test_what_is_not_here_is_an_attribute_error(self):
        for client in self.clients("http://127.0.0.1:1/v1"):
            for path in NOT_HERE:
                with self.subTest(path, client=type(client).__name__):
                    *holders, name = path.split(".")
                    holder = functools.reduce(getattr, holders, client)
                    self.refused(AttributeError, [name], getattr, holder, name)

    def test_the_sdks_names_are_the_same_classes(self):
        self.assertIs(siraya_chat.OpenAI, Client)
        self.assertIs(siraya_chat.AsyncOpenAI, AsyncClient)

    def test_default_headers_are_headers(self):
        server = self.serve(ANSWER)
        client = self.client(server, default_headers={"X-Team": "blue"})
        client.complete("hi")
        client.with_options(default_headers={"X-Team": "red"}).complete("hi")
        client.copy(headers={"X-Team": "green"}).complete("hi")
        teams = [received.headers["x-team"] for received in server.requests]
        self.assertEqual(teams, ["blue", "red", "green"])

    def test_what_is_not_given_is_not_sent(self):
        server = self.serve(ANSWER)
        client = self.client(server)
        for absent in (NOT_GIVEN, omit, None):
            with self.subTest(repr(absent)):
                self.assertFalse(absent)
                client.complete(
                    "hi", absent, temperature=absent, seed=absent, odd=absent
                )
                sent = server.requests[-1].json
                self.assertEqual(sorted(sent), ["messages", "model", "stream"])
                made = build_request(
                    "hi", "m", top_p=absent, extra_body=absent, n=absent
                )
                self.assertEqual(sorted(made), ["messages", "model", "stream"])
        self.assertIsInstance(NOT_GIVEN, siraya_chat.NotGiven)
        self.assertIsInstance(omit, siraya_chat.Omit)

    def test_a_setting_that_is_not_given_is_the_usual_one(self):
        usual = Client(KEY)
        for name in ("timeout", "max_retries", "headers", "base_url", "model"):
            with self.subTest(name):
                client = Client(KEY, **{name: NOT_GIVEN})
                self.assertEqual(getattr(client, name), getattr(usual, name))
        server = self.serve([SILENCE])
        client = self.client(server, timeout=0.1, max_retries=0)
        call = functools.partial(client.complete, "hi", timeout=NOT_GIVEN)
        self.refused(APITimeoutError, ["0.1"], call)

    def test_what_hangs_on_a_client_is_the_same_each_time(self):
        for client in self.clients("http://127.0.0.1:1/v1"):
            for path in ("chat", "chat.completions", "models", "beta"):
                with self.subTest(path, client=type(client).__name__):
                    get = operator.attrgetter(path)
                    self.assertIs(get(client), get(client))
                    for other in (
                        copy.copy(client),
                        client.with_options(),
                        pickle.loads(pickle.dumps(client)),
                    ):
                        self.assertIsNot(get(client), get(other))

    def test_a_program_that_replaces_create_is_heard(self):
        server = self.serve(ANSWER)
        for client in self.clients(server):
            heard = mock.Mock()
            with mock.patch.object(client.chat.completions, "create", heard):
                client.chat.completions.create(messages="hi")
            heard.assert_called_once_with(messages="hi")
            client.chat.completions.create = print
            self.assertIs(client.chat.completions.create, print)
        self.assertEqual(server.connections, 0)

    def test_chat_outlives_its_client_and_keeps_none_alive(self):
        server = self.serve(ANSWER)
        chat = self.client(server).chat
        self.assertEqual(chat.completions.create(messages="hi").text, "Once upon")
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)
        for kind in (Client, AsyncClient):
            client = kind(KEY, server.base_url)
            dropped = weakref.ref(client)
            chat = client.chat
            del client
            self.assertIsNone(dropped())

    def test_settings_that_change_are_heard_by_chat(self):
        server = self.serve(ANSWER)
        client = self.client(server)
        client.model = "other"
        client.chat.completions.create(messages="hi")
        self.assertEqual(server.requests[0].json["model"], "other")

    def test_a_client_of_a_programs_own_class_is_called_through_chat_too(self):
        class Counting(Client):
            def __init__(self, *arguments, **named):
                super().__init__(*arguments, **named)
                self.count = 0

            def complete(self, *arguments, **named):
                self.count += 1
                return super().complete(*arguments, **named)

        client = Counting(KEY, self.serve(ANSWER).base_url, model="m")
        client.chat.completions.create(messages="hi")
        self.assertEqual(client.count, 1)

    def test_the_asynchronous_create_is_a_coroutine_function(self):
        completions = self.async_client("http://127.0.0.1:1/v1").chat.completions
        for name in ("create", "parse"):
            self.assertTrue(inspect.iscoroutinefunction(getattr(completions, name)))

    def test_messages_may_be_objects_and_any_iterable(self):
        class Message:
            def model_dump(self):
                return {"role": "user", "content": "hi", "name": None}

        hi = {"role": "user", "content": "hi"}
        for messages in (
            [Message()],
            (message for message in [Message()]),
            {"only": hi}.values(),
            [JSONObject(hi)],
            (hi,),
        ):
            with self.subTest(type(messages).__name__):
                self.assertEqual(build_request(messages, "m")["messages"], [hi])

    def test_a_model_is_retrieved_from_the_list(self):
        listed = {"data": [{"id": "a", "owned_by": "x"}, {"id": "b"}]}
        server = self.serve(http_answer(200, listed))
        client, other = self.clients(server)
        self.assertEqual(client.models.retrieve("a").owned_by, "x")
        self.assertIsNone(client.models.retrieve("b").owned_by)
        error = self.refused(NotFoundError, ["'c'"], client.models.retrieve, "c")
        self.assertEqual((error.status_code, error.response.status_code), (404, 404))
        self.refused(ValueError, ["model"], client.models.retrieve, "")
        work = functools.partial(other.models.retrieve, "b")
        self.assertEqual(on_a_loop(work), {"id": "b"})
        self.assertEqual(server.requests[0].target, "/v1/models")

    def test_an_object_dumps_as_the_sdks_do(self):
        made = objects(dict(completion("x"), cost=None))
        options = {"mode": "json", "exclude_unset": True, "by_alias": True}
        for dumped in (
            made.model_dump(**options),
            made.to_dict(**options),
            made.dict(),
            json.loads(made.model_dump_json(**options)),
            json.loads(made.to_json(use_api_names=True)),
        ):
            self.assertEqual(dumped, made)
            self.assertIs(type(dumped), dict)
        self.assertNotIn("cost", made.model_dump(exclude_none=True))
        self.assertNotIn("cost", made.to_json(exclude_none=True))
        self.assertIn('\n  "', made.to_json())
        self.assertNotIn("\n", made.model_dump_json())

    def test_the_request_id_has_the_sdks_name_too(self):
        answer = ANSWER.replace(b"OK\r\n", b"OK\r\nX-Request-Id: req-3\r\n", 1)
        self.assertEqual(
            self.client(self.serve(answer)).complete("hi")._request_id, "req-3"
        )

    def test_a_field_that_only_some_services_have_is_there_or_not(self):
        for name in ONLY_SOME:
            with self.subTest(name):
                self.assertFalse(hasattr(JSONObject(), name))
                self.assertEqual(getattr(JSONObject({name: 1}), name), 1)
                self.assertIsNone(getattr(JSONObject(), name, None))

    def test_an_error_without_a_body_has_none(self):
        call = self.client(self.serve(http_answer(401))).complete
        error = self.refused(AuthenticationError, ["401"], call, "hi")
        self.assertIsNone(error.body)
        self.assertEqual(error.response.text, "")

    def test_an_error_has_its_response(self):
        server = self.serve(http_answer(400, REFUSAL, X_Request_Id="r7"))
        call = functools.partial(self.client(server).complete, "hi")
        response = self.refused(BadRequestError, ["bad model"], call).response
        self.assertEqual((response.status_code, response.json()), (400, REFUSAL))
        self.assertEqual(json.loads(response.text), REFUSAL)
        self.assertEqual(response.headers["x-request-id"], "r7")
        server = self.serve(http_answer(500, "<p>oh</p>"))
        call = functools.partial(self.client(server).complete, "hi", max_retries=0)
        response = self.refused(InternalServerError, ["oh"], call).response
        self.assertEqual(response.text, "<p>oh</p>")
        with self.assertRaises(ValueError):
            response.json()

    def test_what_is_not_here_says_what_to_use(self):
        for client in self.clients("http://127.0.0.1:1/v1"):
            for path, words in INSTEAD:
                with self.subTest(path, client=type(client).__name__):
                    *holders, name = path.split(".")
                    holder = functools.reduce(getattr, holders, client)
                    self.refused(AttributeError, [name, words], getattr, holder, name)
            self.refused(AttributeError, ["nonsense"], getattr, client, "nonsense")

    def test_an_argument_that_is_not_here_says_what_to_use(self):
        for kind in (Client, AsyncClient):
            for name, words in (
                ("http_client", "proxy="),
                ("organization", "headers="),
                ("project", "headers="),
                ("nonsense", "nonsense"),
            ):
                with self.subTest(name):
                    self.refused(TypeError, [name, words], kind, KEY, **{name: "x"})
            # Frameworks pass what they do not use as None.
            kind(KEY, http_client=None, organization=None, project=None)
            self.refused(TypeError, ["nonsense"], kind, KEY, nonsense=None)

    def test_a_name_that_cannot_be_imported_says_what_to_use(self):
        for name, words in (
            ("AzureOpenAI", "api-version"),
            ("AsyncAzureOpenAI", "AsyncClient("),
            ("DefaultHttpxClient", "proxy="),
            ("Timeout", "seconds"),
            ("types", "JSONObject"),
        ):
            with self.subTest(name):
                program = "from siraya_chat import " + name
                self.refused(ImportError, [name, words], exec, program, {})
        for name in ("chat", "models", "embeddings", "nonsense"):
            with self.subTest(name):
                self.refused(AttributeError, [name], getattr, siraya_chat, name)
                self.assertFalse(hasattr(siraya_chat, name))

    def test_a_timeout_of_httpx_is_told_to_be_seconds(self):
        class Timeout:
            connect = read = write = pool = 5.0

        client = self.client("http://127.0.0.1:1/v1")
        words = ["timeout", "seconds", "connect_timeout=5"]
        self.refused(TypeError, words, Client, KEY, timeout=Timeout())
        self.refused(TypeError, words, client.complete, "hi", timeout=Timeout())

    def test_a_missing_key_says_that_the_sdks_is_not_read(self):
        client = Client(model="m")
        error = self.refused(SirayaError, ["no API key"], client.complete, "hi")
        self.assertNotIn("OPENAI", str(error))
        os.environ["OPENAI_API_KEY"] = KEY
        words = ["no API key", "OPENAI_API_KEY is not read"]
        error = self.refused(SirayaError, words, client.complete, "hi")
        self.assertNotIn(KEY, str(error))

    def test_help_shows_the_parameters_and_hides_the_plumbing(self):
        for kind in (Client, AsyncClient):
            public = [name for name in dir(kind) if not name.startswith("_")]
            self.assertEqual(public, PUBLIC_NAMES)
            for method in (kind.complete, kind.stream):
                shown = pydoc.plain(pydoc.render_doc(method))
                self.assertNotIn("Unpack", shown)
                for name in (
                    "temperature",
                    "seed",
                    "n",
                    "stream_options",
                    "extra_body",
                ):
                    self.assertIn("*%s*" % name, shown)
            self.assertNotIn("Unpack", pydoc.plain(pydoc.render_doc(kind)))
        shown = pydoc.plain(pydoc.render_doc(build_request))
        for name in ("max_completion_tokens", "reasoning_effort", "stream_options"):
            self.assertIn("*%s*" % name, shown)

    def test_an_answer_is_parsed_by_a_class(self):
        server = self.serve(
            http_answer(200, completion('```json\n{"day": "Monday"}\n```'))
        )
        client, other = self.clients(server)
        asked = {"messages": "hi", "response_format": Event, "model": "m"}
        for name, parse in (
            ("sync", client.chat.completions.parse),
            ("beta", client.beta.chat.completions.parse),
            (
                "async",
                lambda **named: on_a_loop(
                    lambda: other.chat.completions.parse(**named)
                ),
            ),
        ):
            with self.subTest(name):
                made = parse(**asked)
                self.assertIs(type(made), Completion)
                parsed = made.choices[0].message.parsed
                self.assertIs(type(parsed), Event)
                self.assertEqual(parsed.fields, {"day": "Monday"})
                sent = server.requests[-1].json
                self.assertEqual(sent["response_format"], EVENT_FORMAT)
                self.assertIs(sent["stream"], False)

    def test_what_is_parsed_does_not_go_back(self):
        server = self.serve(http_answer(200, completion('{"day": "Monday"}')), ANSWER)
        client = self.client(server)
        made = client.beta.chat.completions.parse(messages="hi", response_format=Event)
        client.complete([user("hi"), made.message])
        self.assertNotIn("parsed", server.requests[1].json["messages"][1])

    def test_a_refusal_has_nothing_parsed(self):
        refusal = completion(None, refusal="I can not")
        parse = self.client(
            self.serve(http_answer(200, refusal))
        ).chat.completions.parse
        made = parse(messages="hi", response_format=Event)
        self.assertIsNone(made.message.parsed)
        self.assertEqual(made.message.refusal, "I can not")

    def test_a_choice_without_a_message_has_nothing_parsed(self):
        answer = {"choices": [{"index": 0, "finish_reason": "stop"}]}
        parse = self.client(self.serve(http_answer(200, answer))).chat.completions.parse
        made = parse(messages="hi", response_format=Event)
        self.assertIsNone(made.message)

    def test_an_answer_that_was_cut_off_is_not_parsed(self):
        for reason in ("length", "MAX_TOKENS", "content_filter"):
            cut = http_answer(200, completion('{"day": "Mon', reason))
            parse = self.client(self.serve(cut)).chat.completions.parse
            with self.subTest(reason):
                error = self.refused(
                    ResponseError,
                    ["nothing to parse", "cut off"],
                    parse,
                    messages="hi",
                    response_format=Event,
                )
                self.assertEqual(error.body, '{"day": "Mon')

    def test_what_a_class_refuses_is_raised_as_it_raises_it(self):
        wrong = http_answer(200, completion('{"day": 5}'))
        client, other = self.clients(self.serve(wrong))
        asked = {"messages": "hi", "response_format": Event, "model": "m"}
        with self.assertRaisesRegex(LookupError, "day"):
            client.chat.completions.parse(**asked)
        with self.assertRaisesRegex(LookupError, "day"):
            on_a_loop(lambda: other.chat.completions.parse(**asked))

    def test_a_schema_that_refers_to_itself_is_made_strict(self):
        node = {
            "type": "object",
            "properties": {"next": {"$ref": "#/$defs/Node", "description": "more"}},
        }

        class Tree(Event):
            @classmethod
            def model_json_schema(cls):
                return {"$defs": {"Node": node}, "$ref": "#/$defs/Node"}

        server = self.serve(http_answer(200, completion('{"day": "x"}')))
        parse = self.client(server).chat.completions.parse
        parse(messages="hi", response_format=Tree)
        form = server.requests[0].json["response_format"]["json_schema"]["schema"]
        self.assertFalse(form["$defs"]["Node"]["additionalProperties"])

    def test_a_reference_to_a_reference_leaves_nothing_beside_it(self):
        class Named(Event):
            @classmethod
            def model_json_schema(cls):
                name = {"$ref": "#/$defs/Name", "description": "whose"}
                definitions = {"Name": {"$ref": "#/$defs/Text"}}
                definitions["Text"] = {"type": "string"}
                return {"$defs": definitions, "properties": {"name": name}}

        server = self.serve(http_answer(200, completion('{"day": "x"}')))
        parse = self.client(server).chat.completions.parse
        parse(messages="hi", response_format=Named)
        form = server.requests[0].json["response_format"]["json_schema"]["schema"]
        expected = {"type": "string", "description": "whose"}
        self.assertEqual(form["properties"]["name"], expected)

    def test_a_class_whose_schema_is_broken_is_told_so(self):
        class Broken(Event):
            @classmethod
            def model_json_schema(cls):
                return {"$ref": "#/$defs/Gone", "title": "x"}

        parse = self.client("http://127.0.0.1:1/v1").chat.completions.parse
        words = ["#/$defs/Gone"]
        self.refused(ValueError, words, parse, messages="hi", response_format=Broken)

    def test_a_class_without_a_schema_cannot_parse(self):
        parse = self.client("http://127.0.0.1:1/v1").chat.completions.parse
        words = ["response_format", "model_json_schema"]
        for other in (dict, {"type": "json_object"}, None):
            self.refused(TypeError, words, parse, messages="hi", response_format=other)

    def test_completions_has_create_and_parse_and_nothing_else(self):
        for client in self.clients("http://127.0.0.1:1/v1"):
            names = dir(client.chat.completions)
            public = [name for name in names if not name.startswith("_")]
            self.assertEqual(public, ["create", "parse"])

    def test_models_list_gives_what_the_service_lists(self):
        models = [{"id": "a", "object": "model"}, {"id": "b", "object": "model"}]
        for body in ({"object": "list", "data": models}, models):
            server = self.serve(http_answer(200, body))
            client, other = self.clients(server)
            for listed in (client.models.list(), on_a_loop(other.models.list)):
                with self.subTest(body):
                    self.assertEqual(listed, models)
                    self.assertIs(listed.data, listed)
                    self.assertEqual([model.id for model in listed], ["a", "b"])
            for received in server.requests:
                self.assertEqual(received.method, "GET")
                self.assertEqual(received.target, "/v1/models")

    def test_the_sdks_names_of_the_base_error_are_the_base_error(self):
        for name in ("APIError", "OpenAIError"):
            self.assertIs(getattr(siraya_chat, name), SirayaError)

    def test_an_error_says_its_message(self):
        for status, kind in (
            (400, BadRequestError),
            (409, ConflictError),
            (422, UnprocessableEntityError),
        ):
            client, other = self.clients(self.serve(http_answer(status, REFUSAL)))
            client.max_retries = other.max_retries = 0
            words = ["%d" % status, "bad model"]
            for call, arguments in (
                (client.complete, ("hi",)),
                (on_a_loop, (lambda: other.complete("hi"),)),
            ):
                error = self.refused(kind, words, call, *arguments)
                self.assertEqual(error.message, str(error))
                self.assertEqual(error.status_code, status)

    def test_model_dump_gives_plain_dicts_and_lists(self):
        reply = Completion(objects(completion("Hi", refusal=None)))
        for plain in (reply.model_dump(), reply.to_dict()):
            self.assertEqual(plain, completion("Hi", refusal=None))
            for value in (plain, plain["choices"][0], plain["choices"][0]["message"]):
                self.assertIs(type(value), dict)

    def test_a_dump_can_be_changed_alone(self):
        reply = Completion(objects(completion("Hi")))
        reply.to_dict()["choices"][0]["message"]["content"] = "changed"
        self.assertEqual(reply.text, "Hi")

    def test_model_dump_can_leave_out_what_is_null(self):
        reply = Completion(objects(completion("Hi", refusal=None, x=[{"y": None}])))
        self.assertEqual(reply.model_dump(exclude_none=True), completion("Hi", x=[{}]))

    def test_model_dump_json_gives_json_on_one_line_or_indented(self):
        reply = Completion(objects(completion("H\u00e9", refusal=None)))
        for options in ({}, {"indent": 2}):
            text = reply.model_dump_json(**options)
            self.assertEqual(json.loads(text), reply)
            self.assertIn("H\u00e9", text)
            self.assertEqual("\n  " in text, bool(options))

    def test_setting_an_attribute_of_an_answer_sets_its_key(self):
        reply = Completion(objects(completion("Hi")))
        reply.choices[0].message.content = "changed"
        reply.note = 1
        self.assertEqual(reply.text, "changed")
        self.assertEqual(reply["note"], 1)

    def test_settings_can_be_read_and_set_and_hold_from_the_next_call_on(self):
        server = self.serve()
        client, other = self.clients(server)
        for each in (client, other):
            each.model, each.api_key = "later", "sk-other-key"
            self.assertEqual((each.model, each.timeout), ("later", 30.0))
        client.complete("hi")
        on_a_loop(lambda: other.complete("hi"))
        for received in server.requests:
            self.assertEqual(received.json["model"], "later")
            self.assertEqual(received.headers["authorization"], "Bearer sk-other-key")

    def test_a_bad_setting_is_refused_by_the_next_call(self):
        client, other = self.clients(self.serve())
        client.timeout = other.timeout = -1
        self.refused(ValueError, ["timeout"], client.complete, "hi")
        self.refused_async(ValueError, ["timeout"], lambda: other.complete("hi"))

    def test_with_options_gives_a_client_of_the_same_kind_that_differs(self):
        for client in self.clients(self.serve()):
            twin = client.with_options(model="other", max_retries=7)
            self.assertIs(type(twin), type(client))
            self.assertEqual((twin.model, twin.max_retries), ("other", 7))
            self.assertEqual((client.model, client.max_retries), ("m", 2))
            self.assertEqual((twin.api_key, twin.timeout), (KEY, 30.0))

    def test_an_extra_query_goes_into_the_url(self):
        server = self.serve(ANSWER)
        client, other = self.clients(server.base_url + "?a=1")
        client.complete("hi", extra_query={"b": "c d"})
        on_a_loop(lambda: other.complete("hi", extra_query={"b": "c d"}))
        for received in server.requests:
            self.assertEqual(received.target, "/v1/chat/completions?a=1&b=c+d")

    def test_an_async_client_pickles_with_its_settings(self):
        server = self.serve()
        client = self.async_client(server, headers={"X-Tag": "a"}, max_retries=1)
        twin = pickle.loads(pickle.dumps(client))
        self.assertIs(type(twin), AsyncClient)
        self.assertEqual((twin.max_retries, twin.timeout), (1, 30.0))
        on_a_loop(lambda: twin.complete("hi"))
        self.assertEqual(server.requests[0].headers["x-tag"], "a")

    def test_what_an_async_client_shows_of_itself_holds_no_key(self):
        shown = repr(self.async_client("http://127.0.0.1:1/v1"))
        self.assertIn("AsyncClient", shown)
        self.assertIn("http://127.0.0.1:1/v1", shown)
        self.assertNotIn(KEY, shown)

    def test_leaving_an_async_with_block_closes_the_client(self):
        server = self.serve(ANSWER)

        async def main():
            async with self.async_client(server) as client:
                await client.complete("hi")
            self.assertTrue(await until(server.wait_closed))
            return await client.complete("hi")  # it remains usable

        self.assertEqual(on_a_loop(main).text, "Once upon")


# === command line =====================================================================


try:
    import ctypes
    import fcntl
    import pty
    import termios
except ImportError:  # no terminals of this kind, as on Windows
    pty = None  # type: ignore[assignment]


SCHEMA_FORMAT = json_schema(SCHEMA)
BRIEF = system("Be brief.")
PRICE = {"sort": "price"}
IN_THE_BODY = (  # arguments, a field of the body, its value; None if it is not there
    (["hi"], "model", "anthropic/claude-sonnet-4.5"),
    (["-m", "m1", "hi"], "model", "m1"),
    (["--model", "m2", "hi"], "model", "m2"),
    (["hi", "-m", "m3"], "model", "m3"),
    (["hi"], "stream", True),
    (["hi"], "messages", [user("hi")]),
    (["-s", "Be brief.", "hi"], "messages", [BRIEF, user("hi")]),
    (["--system", "Be brief.", "hi"], "messages", [BRIEF, user("hi")]),
    (["What", "is", "it?"], "messages", [user("What is it?")]),
    (["--", "-n"], "messages", [user("-n")]),
    (["-o", "stream=false", "hi"], "stream", False),
    (["-o", "stream=null", "hi"], "stream", True),
    (["-o", "temperature=0.5", "hi"], "temperature", 0.5),
    (["-o", "temperature=.5", "hi"], "temperature", 0.5),
    (["-o", "presence_penalty=-.5", "hi"], "presence_penalty", -0.5),
    (["--option", "max_tokens=7", "hi"], "max_tokens", 7),
    (["-o", "stop=END", "hi"], "stop", "END"),
    (["-o", 'stop=["a", "b"]', "hi"], "stop", ["a", "b"]),
    (["-o", 'stop="7"', "hi"], "stop", "7"),
    (["-o", "user=a=b", "hi"], "user", "a=b"),
    (["-o", "user=", "hi"], "user", ""),
    (["-o", "user=.5.5", "hi"], "user", ".5.5"),
    (["-o", "user=-m", "-s", "-n", "hi"], "messages", [system("-n"), user("hi")]),
    (["-j", "-o", "n=2", "hi"], "n", 2),
    (["-o", "logprobs=true", "hi"], "logprobs", True),
    (["-o", 'provider={"sort": "price"}', "-o", "seed=1", "hi"], "provider", PRICE),
    (["-o", 'provider={"sort": "price"}', "-o", "seed=1", "hi"], "seed", 1),
    (["--schema", json.dumps(SCHEMA), "hi"], "response_format", SCHEMA_FORMAT),
    (["-u", "hi"], "stream_options", {"include_usage": True}),
    (["-u", "-o", "stream=false", "hi"], "stream_options", None),
    (["-uo", 'stream_options={"x": 1}', "hi"], "stream_options", {"x": 1}),
    (["hi"], "stream_options", None),
)


class CommandLineRequests(Test):
    def test_every_option_of_a_request_arrives_in_its_body(self):
        for arguments, name, value in IN_THE_BODY:
            with self.subTest(arguments=arguments, name=name):
                server = self.serve()
                outcome = run_main(server, *arguments)
                self.assertEqual(outcome.status, 0, outcome)
                self.assertEqual(outcome.out[-1:], "\n")
                (received,) = server.requests
                self.assertEqual(received.json.get(name), value)

    def test_a_schema_may_come_from_a_file(self):
        server = self.serve()
        path = self.file("schema.json", json.dumps(SCHEMA).encode())
        self.assertEqual(run_main(server, "--schema", path, "hi").status, 0)
        self.assertEqual(server.requests[0].json["response_format"], SCHEMA_FORMAT)

    def test_the_system_message_may_come_from_a_file(self):
        for content in (b"Be brief.\n", b"\xef\xbb\xbfBe brief.\r\n"):
            server = self.serve()
            path = self.file("rules.txt", content)
            self.assertEqual(run_main(server, "-s", "@" + path, "hi").status, 0)
            self.assertEqual(server.requests[0].json["messages"][0], BRIEF)

    def test_options_of_the_call_are_no_part_of_its_body(self):
        server = self.serve(http_answer(500, "no"), STREAM)
        options = ("max_retries=1", "timeout=9", 'extra_headers={"X-Title": "t"}')
        arguments = [word for option in options for word in ("-o", option)]
        self.assertEqual(run_main(server, *arguments, "hi"), (0, "Once upon\n", ""))
        _, received = server.requests
        self.assertEqual(received.headers["x-title"], "t")
        self.assertEqual(set(received.json), {"model", "messages", "stream"})

    def test_the_model_comes_from_the_environment_unless_an_option_names_it(self):
        server = self.serve()
        run_main(server, "hi", SIRAYA_MODEL="m1")
        run_main(server, "-m", "m2", "hi", SIRAYA_MODEL="m1")
        models = [received.json["model"] for received in server.requests]
        self.assertEqual(models, ["m1", "m2"])

    def test_the_option_for_the_base_url_goes_before_the_environment(self):
        server = self.serve()
        outcome = run_main(None, "--base-url", server.base_url + "/", "hi")
        self.assertEqual(outcome.status, 0)
        (received,) = server.requests
        self.assertEqual(received.target, "/v1/chat/completions")

    def test_attachments_are_sent_after_the_text_in_their_order(self):
        server = self.serve()
        cat = self.file("cat.png", PNG)
        notes = self.file("notes.txt", "caf\u00e9".encode())
        link = "https://files.example/dog.jpg"
        outcome = run_main(server, "-a", cat, "--attach", notes, "-a", link, "Look.")
        self.assertEqual((outcome.status, outcome.err), (0, ""))
        text = {"type": "text", "text": "Look."}
        content = [text, attach(cat), attach(notes), attach(link)]
        self.assertEqual(server.requests[0].json["messages"][0]["content"], content)

    def test_an_attachment_needs_no_text_beside_it(self):
        server = self.serve()
        cat = self.file("cat.png", PNG)
        run_main(server, "-a", cat)
        content = server.requests[0].json["messages"][0]["content"]
        self.assertEqual(content, [attach(cat)])

    def test_piped_input_joins_the_prompt_clearly_apart(self):
        diff = "+ new line\n- old line\n"
        pattern = r"\Areview this\n\n+\W*\+ new line\n- old line\s*\Z"
        self.check_prompt(["review this"], diff, pattern)

    def test_piped_input_is_the_prompt_if_alone(self):
        self.check_prompt([], "What is it?\n", r"\AWhat is it\?\n?\Z")

    def test_piped_input_that_is_empty_or_blank_adds_nothing(self):
        self.check_prompt(["hi"], "", r"\Ahi\Z")
        self.check_prompt(["hi"], " \n\n", r"\Ahi\Z")

    def test_a_mark_of_the_byte_order_is_no_part_of_piped_input(self):
        self.check_prompt([], "\ufeffhi\n", r"\Ahi\Z")

    def test_a_hyphen_is_the_input_that_is_piped(self):
        self.assertEqual(run_main(None, "-", stdin=" \n").status, 2)
        self.check_prompt(["-"], "What is it?\n", r"\AWhat is it\?\Z")
        self.check_prompt(["What", "-", "is"], "it", r"\AWhat - is\n\nit\Z")

    def check_prompt(self, arguments, stdin, pattern):
        server = self.serve()
        self.assertEqual(run_main(server, *arguments, stdin=stdin).status, 0)
        content = server.requests[0].json["messages"][0]["content"]
        self.assertRegex(content, pattern)

    def test_a_dry_run_needs_no_key_sends_nothing_and_prints_exactly_the_body(self):
        cat = self.file("cat.png", PNG)
        for arguments in (
            ["hi"],
            ["-s", "caf\u00e9", "-m", "m", "hi"],
            ["-o", "stream=false", "hi"],
            ["-u", "hi"],
            ["-a", cat, "hi"],
            ["--schema", '{"type": "object"}', "hi"],
            ["-o", "temperature=1", "-o", "max_retries=1", "-o", "timeout=9", "hi"],
        ):
            with self.subTest(arguments=arguments):
                server, keyless = self.serve(), {"SIRAYA_API_KEY": None}
                outcome = run_main(server, "-n", *arguments, stdin="more", **keyless)
                self.assertEqual((outcome.status, outcome.err), (0, ""))
                self.assertEqual(server.connections, 0)
                run_main(server, *arguments, stdin="more")
                self.assertEqual(json.loads(outcome.out), server.requests[0].json)

    def test_a_dry_run_has_a_long_name_too(self):
        self.assertEqual(run_main(None, "--dry-run", "hi").status, 0)

    def test_a_dry_run_makes_no_history(self):
        path = os.path.join(self.folder, "talk.jsonl")
        self.assertEqual(run_main(None, "-n", "--history", path, "hi").status, 0)
        self.assertEqual(os.listdir(self.folder), [])


WHOLE = ["-o", "stream=false"]  # the answer is asked for as a whole
USAGE = {"prompt_tokens": 11, "completion_tokens": 22, "total_tokens": 33}
USAGE_CHUNK = dict(chunk(), choices=[], usage=USAGE)
COST_CHUNK = dict(USAGE_CHUNK, cost=0.0625)
USAGE_COST_CHUNK = dict(USAGE_CHUNK, usage=dict(USAGE, cost=0.125))
USAGES = (  # what, answer, arguments, the numbers that are told
    ("streamed", sse(ONCE, END, USAGE_CHUNK, "[DONE]"), [], ["11", "22", "33"]),
    (
        "whole",
        http_answer(200, completion("Once", usage=USAGE)),
        WHOLE,
        ["11", "22", "33"],
    ),
    ("cost", sse(ONCE, END, COST_CHUNK, "[DONE]"), [], ["33", "0.0625"]),
    ("cost in usage", sse(ONCE, END, USAGE_COST_CHUNK, "[DONE]"), [], ["33", "0.125"]),
)


class CommandLineOutput(Test):
    def test_the_answer_goes_to_standard_output_alone_with_one_line_end(self):
        colours = "\x1b[31mred\x1b[0m \x07\x9b2J\x7f"
        for text, out in (
            ("Once upon", "Once upon\n"),
            ("Once\n", "Once\n"),
            ("a\r\nb\tc", "a\r\nb\tc\n"),
            (colours, colours + "\n"),
        ):
            streamed = sse(*map(chunk, text), END, "[DONE]")
            whole = http_answer(200, completion(text))
            for answer, arguments in ((streamed, []), (whole, WHOLE)):
                with self.subTest(text=text, arguments=arguments):
                    outcome = run_main(self.serve(answer), "hi", *arguments)
                    self.assertEqual(outcome, (0, out, ""))

    def test_an_answer_without_words_is_status_1_and_said(self):
        for text in ("", " "):
            whole = http_answer(200, completion(text))
            streamed = sse(chunk(text), END, "[DONE]")
            for answer, arguments in ((streamed, []), (whole, WHOLE)):
                with self.subTest(text=text, arguments=arguments):
                    outcome = run_main(self.serve(answer), "hi", *arguments)
                    self.assertEqual((outcome.status, outcome.out.strip()), (1, ""))
                    self.assert_one_line(outcome.err, "empty")

    def test_the_time_that_printing_takes_grows_with_the_text_alone(self):
        def ask(pieces):
            answer = sse(*[chunk("x" * 1000)] * pieces, END, "[DONE]")
            with StandIn(answer) as server:
                outcome = run_main(server, "hi")
            self.assertEqual(len(outcome.out), 1000 * pieces + 1)

        self.assertLess(growth(ask, 1000, 4000), 8)

    def test_json_is_one_chunk_a_line_when_streamed(self):
        outcome = run_main(self.serve(STREAM), "-j", "hi")
        self.assertEqual((outcome.status, outcome.err), (0, ""))
        chunks = [json.loads(line) for line in outcome.out.splitlines()]
        self.assertEqual(chunks, [ONCE, UPON, END])

    def test_json_is_one_object_when_not_streamed(self):
        answer = completion("caf\u00e9\n")
        server = self.serve(http_answer(200, answer))
        outcome = run_main(server, "--json", *WHOLE, "hi")
        self.assertEqual((outcome.status, outcome.err), (0, ""))
        self.assertEqual(json.loads(outcome.out), answer)

    def test_usage_is_told_on_standard_error_with_the_cost_where_given(self):
        for name, answer, arguments, numbers in USAGES:
            with self.subTest(name):
                outcome = run_main(self.serve(answer), "-u", "hi", *arguments)
                self.assertEqual((outcome.status, outcome.out), (0, "Once\n"))
                self.assert_one_line(outcome.err)
                for number in numbers:
                    alone = r"(?<![\d.])%s(?![\d.])" % re.escape(number)
                    self.assertRegex(outcome.err, alone)
                self.assertEqual("cost" in outcome.err, "cost" in name)

    def test_usage_that_the_service_does_not_tell_is_not_made_up(self):
        outcome = run_main(self.serve(STREAM), "--usage", "hi")
        self.assertEqual((outcome.status, outcome.out), (0, "Once upon\n"))
        self.assertNotIn("None", outcome.err)
        flagged = dict(completion("x"), usage={"total_tokens": 3, "is_byok": False})
        outcome = run_main(self.serve(http_answer(200, flagged)), "-u", *WHOLE, "hi")
        self.assertEqual(outcome.err, "siraya-chat: total_tokens: 3\n")

    def test_a_refusal_is_told_whole_but_for_a_very_long_one(self):
        for count in (100, 1000000):
            answer = http_answer(200, completion(None, refusal="no " * count))
            outcome = run_main(self.serve(answer), *WHOLE, "hi")
            self.assertEqual((outcome.status, outcome.out), (1, ""))
            told = "the model refused: " + " ".join(["no"] * min(count, 300))
            self.assert_one_line(outcome.err, told)
            self.assertLess(len(outcome.err), 1100)

    def test_the_version_is_told(self):
        outcome = run_main(None, "--version", SIRAYA_API_KEY=None)
        version = re.escape(siraya_chat.__version__)
        self.assertRegex(outcome.out, r"\Asiraya.chat %s\n\Z" % version)


SEVERAL_LINES = {"error": {"message": "first\nsecond\x1b[2J", "code": "x"}}
PAGE = "<html>\n<body>\nNot here\n</body></html>"
TWO_CHUNKS = "%s\n%s\n" % (json.dumps(ONCE), json.dumps(UPON))
FAILURES = (  # what, answer, arguments, standard output, words of standard error
    ("status", http_answer(401, {"error": "wrong key"}), [], "", "wrong key"),
    ("several lines", http_answer(400, SEVERAL_LINES), [], "", "first second"),
    ("page", http_answer(404, PAGE), [], "", "404"),
    ("not JSON", http_answer(200, "hello\nworld"), WHOLE, "", ""),
    ("cut", BROKEN, [], "Once upon\n", ""),
    ("error event", sse(ONCE, SEVERAL_LINES), [], "Once\n", "first second"),
    ("silence", HELD, ["-o", "timeout=0.3"], "Once\n", "0.3"),
    ("cut JSON", BROKEN, ["-j"], TWO_CHUNKS, ""),
)
MISUSES = (  # arguments, words of standard error
    (["--schema", "{", "hi"], "--schema: "),
    (["--schema", "{type: object}", "hi"], "quotes lost? use a file"),
    (["-o", "temperature=3", "hi"], "-o 'extra_body={…}' sends any value"),
    (["-o", "temperature", "hi"], "KEY=VALUE"),
    (["-o", "=1", "hi"], "KEY=VALUE"),
    (["-o", "seed=NaN", "hi"], "seed"),
    (["-o", "model=m", "hi"], "model"),
    (["-o", "n=2", "hi"], "-j"),
    (["-o", 'extra_body={"n": 2}', "hi"], "-j"),
    (["-o", "stream=no", "hi"], "stream must be true or false"),
    (["-o", 'tool_choice=" in the command"', "hi"], "not ' in the command'"),
    (["-o", "provider=x", "hi"], "provider must be a JSON object"),
    ([], "prompt"),
    ([" ", "\n"], "prompt"),
    (["-"], "prompt"),
    (["-c"], "prompt"),
    (["-c", "-n"], "-c"),
    (["--base-url", "ftp://files.example", "hi"], "--base-url"),
    (["-o", "timeout=0", "hi"], "timeout"),
    (["-o", "timeout=soon", "hi"], "timeout"),
    (["-o", "timeout=NaN", "hi"], "timeout"),
    (["--nonsense", "hi"], "--nonsense not recognized; see --help"),
    (["-m"], "-m"),
    (["-n in sed?"], "needs -- before it"),
    (["--what is that?"], "needs -- before it"),
    (["--models", "gamma"], "no words"),
    (["-a", "", "hi"], "-a: its value is empty"),
    (["--schema", "", "hi"], "--schema: its value is empty"),
    (["--history", "", "hi"], "--history: its value is empty"),
    (["-s", "@none.txt", "hi"], "-s @none.txt: No such file"),
    (["-a", "none.png", "hi"], "-a none.png: No such file"),
    (["-a", "-", "hi"], "-a -: the source is empty"),
    (["-a", ".;type=x", "hi"], "-a .: '.' is a directory"),
    (["-a", "data:,x", "hi"], "-a data:,x: "),
)
OF_PROGRAMS = re.compile(r"Client|media_type|attach:|[{ ]dict|True|json_schema\(")


class CommandLineMistakes(Test):
    def test_a_failure_of_the_service_is_status_1_and_one_line(self):
        for name, answer, arguments, out, words in FAILURES:
            with self.subTest(name):
                outcome = run_main(self.serve(answer), "hi", *arguments)
                self.assertEqual((outcome.status, outcome.out), (1, out))
                self.assert_one_line(outcome.err, words)
                self.assertNotIn("\x1b", outcome.err)

    def test_a_service_that_is_not_there_is_status_1_and_one_line(self):
        with unused_port() as port:
            place = "127.0.0.1:%d" % port
            url = "http://%s/v1" % place
            outcome = run_main(None, "hi", SIRAYA_BASE_URL=url)
        self.assertEqual((outcome.status, outcome.out), (1, ""))
        self.assert_one_line(outcome.err, place)

    def check_mistake(self, arguments, words, **environment):
        """It is status 2 and one line, and nothing is sent."""
        with self.subTest(arguments=arguments):
            server = self.serve()
            outcome = run_main(server, *arguments, **environment)
            self.assertEqual((outcome.status, outcome.out), (2, ""))
            self.assertEqual(server.connections, 0)
            self.assert_one_line(outcome.err, words)
            # It is said in the words of the command, not in those of the library.
            self.assertIsNone(OF_PROGRAMS.search(outcome.err), outcome.err)

    def test_a_misuse_is_status_2_and_one_line_and_nothing_is_sent(self):
        for arguments, words in MISUSES:
            self.check_mistake(arguments, words)

    def test_a_file_that_cannot_be_attached_is_named(self):
        odd = self.file("odd.bin", b"\0\1\2\3" * 9)
        empty = self.file("empty.png", b"")
        missing = os.path.join(self.folder, "missing.png")
        for path in (odd, empty, missing, self.folder):
            self.check_mistake(["-a", path, "hi"], os.path.basename(path))

    def test_a_schema_that_cannot_be_read_is_named(self):
        missing = os.path.join(self.folder, "missing.png")
        self.check_mistake(["--schema", missing, "hi"], "missing.png")
        for content in (b"{]", b"\xff{}", b"[1]", b""):
            bad = self.file("bad.json", content)
            self.check_mistake(["--schema", bad, "hi"], "--schema")

    def test_a_system_message_that_is_no_text_is_refused(self):
        path = self.file("rules.bin", b"caf\xe9\n")
        self.check_mistake(["-s", "@" + path, "hi"], "rules.bin")

    def test_quotes_that_are_part_of_a_model_are_refused(self):
        self.check_mistake(["hi"], "quotes", SIRAYA_MODEL='"m"')

    def test_a_type_that_is_none_is_refused(self):
        path = self.file("odd.bin", b"\0\1\2\3")
        self.check_mistake(["-a", path + ";type=webp"], ";type= must be")
        self.check_mistake(["-a", path], "FILE;type=")

    def test_more_input_than_64_mib_is_refused(self):
        path = os.path.join(self.folder, "large")
        for size, words in ((64 << 20, "UTF-8"), ((64 << 20) + 1, "64 MiB")):
            with open(path, "wb") as file:
                file.truncate(size)
            with open(path, encoding="utf-8") as file:
                outcome = run_main(None, "-n", stdin=file)
            self.assertEqual((outcome.status, outcome.out), (2, ""))
            self.assert_one_line(outcome.err, words)

    def test_a_missing_key_is_status_2_and_the_line_says_how_to_give_one(self):
        url = "https://service.invalid/v1"
        for key in (None, "", " \n"):
            keys = {"SIRAYA_API_KEY": key, "SIRAYA_BASE_URL": url}
            self.check_mistake(["hi"], "SIRAYA_API_KEY", **keys)

    def test_there_is_no_option_for_the_key(self):
        for option in ("-k", "--key", "--api-key", "--api_key", "--token"):
            self.check_mistake([option, KEY, "hi"], "")

    def test_the_key_is_in_nothing_that_is_printed(self):
        answer = http_answer(401, {"error": {"message": "no key " + KEY}})
        for arguments in (
            ["-n", "hi"],
            ["hi"],
            ["--base-url", "http://%s@127.0.0.1/v1" % KEY, "hi"],
        ):
            outcome = run_main(self.serve(answer), *arguments)
            self.assertNotIn(KEY, outcome.out + outcome.err)


OPTIONS = (  # of the command line, each in all its spellings
    "-m --model",
    "-s --system",
    "-a --attach",
    "-o --option",
    "--schema",
    "-j --json",
    "-u --usage",
    "-c --chat",
    "--history",
    "--models",
    "-v --verbose",
    "-n --dry-run",
    "--base-url",
    "--version",
    "-h --help",
)


class CommandLineHelp(Test):
    def help(self, option="-h"):
        outcome = run_main(None, option, SIRAYA_API_KEY=None)
        self.assertEqual((outcome.status, outcome.err), (0, ""))
        return outcome.out

    def test_the_help_has_a_line_for_every_option(self):
        text = self.help()
        for names in OPTIONS:
            spellings = r"\b[^\n]*, ".join(names.split())
            pattern = r"(?m)^  %s\b.*\n?.* [a-z]{3}" % spellings
            self.assertRegex(text, pattern, names)

    def test_the_help_names_the_variables_the_defaults_and_the_exit_statuses(self):
        text = self.help()
        for words in (
            "SIRAYA_API_KEY",
            "SIRAYA_BASE_URL",
            "SIRAYA_MODEL",
            "SSL_CERT_FILE",
            "https_proxy",
            "130",
            "anthropic/claude-sonnet-4.5",
            "https://llm.siraya.pro/v1",
        ):
            self.assertIn(words, text)

    def test_the_help_has_a_long_name_too(self):
        self.assertEqual(self.help("--help"), self.help())

    def test_the_help_fits_a_screen(self):
        lines = self.help().splitlines()
        self.assertLess(max(map(len, lines)), 80)
        self.assertLess(len(lines), 24)

    @unittest.skipUnless(os.name == "posix", "needs a POSIX shell")
    def test_every_example_of_the_help_runs(self):
        text = self.help().partition("examples:\n")[2]
        examples = re.findall(r"(?m)^ +(\S.*)$", text)
        self.assertGreaterEqual(len(examples), 4)
        self.file("bill.pdf", b"%PDF-1.4\n")
        self.file("bill.json", b'{"type": "object"}')
        self.file("cat.png", PNG)
        self.file("questions.txt", b"One?\n")
        for name, command in (
            ("git", "echo change"),
            ("siraya-chat", 'exec "%s" %s %s "$@"' % COMMAND),
            ("python", 'exec "%s" "$@"' % sys.executable),
        ):
            self.file(name, b"#!/bin/sh\n%s\n" % command.encode(), 0o755)
        path = self.folder + os.pathsep + os.environ["PATH"]

        def check(example):
            server, shell = self.serve(), ("sh", "-c", example)
            options = {"cwd": self.folder, "PATH": path, "preexec_fn": os.setsid}
            options["stdin"] = b"hi\n"
            outcome = run_process(server, *shell, **options)
            self.assertEqual((outcome.status, outcome.err), (0, ""))
            self.assertEqual(len(server.requests), 1)
            self.assertTrue(outcome.out)

        self.side_by_side(check, [[example] for example in examples])
        self.assertTrue(any("</dev/null" in example for example in examples))


ZIP_MAIN = "import sys, siraya_chat\nsys.exit(siraya_chat.main())\n"
WAYS_TO_RUN = (  # arguments of Python; in a folder that has copies of the module
    "other_name.py",
    "-m vendored.siraya_chat",
    "app.zip",
    "-I -S -O -O siraya_chat.py",
)
REDIRECTIONS = (  # of the shell, arguments, whether it succeeds
    ("<&-", ["hi"], True),
    ("<&-", ["-c"], False),
    (">&-", ["hi"], False),
    ("2>&-", ["hi"], True),
    ("2>&-", ["-o", "x"], False),
    (">/dev/full", ["-n", "hi"], False),
    (">/dev/full", ["hi"], False),
)


class CommandLineProcesses(Test):
    def copies(self):
        """Puts copies of the module into the test's folder; gives its source."""
        with open(MODULE, "rb") as file:
            source = file.read()
        for name in ("other_name.py", "siraya_chat.py", "vendored/siraya_chat.py"):
            self.file(name, source)
        self.file("vendored/__init__.py", b"")
        with zipfile.ZipFile(os.path.join(self.folder, "app.zip"), "w") as archive:
            archive.writestr("siraya_chat.py", source)
            archive.writestr("__main__.py", ZIP_MAIN)
        return source

    def check_run(self, arguments, **options):
        """Python with these arguments and a prompt runs the command."""
        server = self.serve(STREAM)
        command = (sys.executable, *arguments.split(), "What", "is it?")
        options.setdefault("cwd", self.folder)
        outcome = run_process(server, *command, **options)
        self.assertEqual(outcome, (0, "Once upon\n", ""))
        (received,) = server.requests
        self.assertEqual(received.json["messages"][0]["content"], "What is it?")
        self.assertEqual(received.headers["authorization"], "Bearer " + KEY)

    def test_it_runs_in_every_way_that_python_runs_a_file(self):
        self.copies()
        self.side_by_side(self.check_run, [[arguments] for arguments in WAYS_TO_RUN])

    def test_it_runs_from_an_archive_on_the_path(self):
        self.copies()
        self.file("elsewhere/empty", b"")
        archive = os.path.join(self.folder, "app.zip")
        elsewhere = os.path.join(self.folder, "elsewhere")
        self.check_run("-m siraya_chat", PYTHONPATH=archive, cwd=elsewhere)

    def test_it_runs_from_standard_input(self):
        self.check_run("-", stdin=self.copies())

    def test_it_causes_no_warning_in_development_mode(self):
        self.copies()
        self.check_run("-X dev siraya_chat.py", PYTHONWARNINGS="error")

    def test_statuses_and_streams_of_a_real_process(self):
        def check(arguments, answer, status, out, err):
            outcome = run_process(self.serve(answer), *COMMAND, *arguments)
            self.assertEqual((outcome.status, outcome.out), (status, out))
            self.assertEqual(bool(outcome.err), err)

        rows = (
            (["hi"], STREAM, 0, "Once upon\n", False),
            (["hi"], BROKEN, 1, "Once upon\n", True),
            (["-o", "top_p=2", "hi"], STREAM, 2, "", True),
        )
        self.side_by_side(check, rows)

    def test_a_character_that_the_encoding_lacks_is_replaced(self):
        server = self.serve(sse(chunk("caf\u00e9 \u2014 "), chunk("ok"), END, "[DONE]"))
        outcome = run_process(server, *COMMAND, "hi", PYTHONIOENCODING="ascii")
        self.assertEqual(outcome, (0, "caf? ? ok\n", ""))

    def test_a_character_of_an_error_that_the_encoding_lacks_is_replaced(self):
        server = self.serve(http_answer(400, {"error": {"message": "caf\u00e9"}}))
        outcome = run_process(server, *COMMAND, "hi", PYTHONIOENCODING="ascii")
        self.assertEqual(outcome.status, 1)
        self.assert_one_line(outcome.err, "caf")

    def test_half_a_surrogate_pair_is_replaced(self):
        server = self.serve(sse(chunk("a\ud83d"), END, "[DONE]"))
        outcome = run_main(server, "hi")
        self.assertEqual(outcome, (0, "a\ufffd\n", ""))

    def test_input_that_is_no_text_is_refused_with_the_way_out(self):
        for data in (b"caf\xe9 \xff?\n", b"\x89PNG\r\n\x1a\n\0", b"a\0b"):
            with self.subTest(data):
                server = self.serve(STREAM)
                status, out, err = run_main(server, "hi", stdin=data)
                self.assertEqual((status, out), (2, ""))
                self.assert_one_line(err, "-a -")
                self.assertEqual(server.requests, [])

    def test_input_in_utf_16_with_its_mark_is_text(self):
        server = self.serve(STREAM)
        outcome = run_main(server, stdin="caf\u00e9\n".encode("utf-16"))
        self.assertEqual(outcome, (0, "Once upon\n", ""))
        (message,) = server.requests[0].json["messages"]
        self.assertEqual(message["content"], "caf\u00e9")

    def test_input_is_in_the_encoding_that_a_variable_of_python_names(self):
        for encoding, bytes_encoding in (("latin-1", "latin-1"), (":replace", "utf-8")):
            server, data = self.serve(STREAM), ACUTE.encode(bytes_encoding)
            options = dict(C_LOCALE, PYTHONIOENCODING=encoding, stdin=data)
            outcome = run_process(server, *COMMAND, **options)
            self.assertEqual(outcome, (0, "Once upon\n", ""))
            (message,) = server.requests[0].json["messages"]
            self.assertEqual(message["content"], ACUTE)

    def test_text_is_written_as_it_arrives_and_a_reader_may_leave(self):
        left = threading.Event()
        more = framed(event(chunk(" upon" * 20)))
        end = framed(event("[DONE]")) + LAST
        steps = [SSE_HEAD + framed(event(ONCE)), left, *[more] * 200, end]
        with start_process(self.serve(steps), *COMMAND, "hi") as process:
            # While the server holds back the rest.
            self.assertEqual(process.stdout.read(4), b"Once")
            process.stdout.close()
            left.set()
            self.assertEqual((process.stderr.read(), process.wait(20)), (b"", 0))

    @unittest.skipUnless(os.name == "posix", "needs POSIX pipes")
    def test_whatever_is_printed_a_reader_that_has_left_gets_no_traceback(self):
        def check(*arguments):
            server = self.serve()
            reader, writer = os.pipe()
            os.close(reader)
            try:
                ran = run_process(server, *COMMAND, *arguments, stdout=writer)
            finally:
                os.close(writer)
            self.assertEqual((ran.status, ran.err), (0, ""))

        rows = (
            ["hi"],
            ["-j", "hi"],
            [*WHOLE, "hi"],
            ["-n", "hi"],
            ["--help"],
        )
        self.side_by_side(check, rows)

    @unittest.skipUnless(os.name == "posix", "needs a POSIX shell")
    def test_streams_that_are_closed_cause_no_traceback(self):
        def check(redirection, arguments, succeeds):
            if "full" in redirection and not os.path.exists("/dev/full"):
                return
            shell = ("sh", "-c", 'exec "$@" ' + redirection, "sh", *COMMAND)
            alone = {"preexec_fn": os.setsid}
            ran = run_process(self.serve(), *shell, *arguments, **alone)
            self.assertNotIn("Traceback", ran.err)
            self.assertNotIn("Exception ignored", ran.err)
            self.assertLessEqual(ran.err.count("\n"), 1, ran.err)
            self.assertEqual(ran.status == 0, succeeds, ran)
            if "full" in redirection:
                self.assertIn("standard output: No space left", ran.err)

        self.side_by_side(check, REDIRECTIONS)

    @unittest.skipUnless(os.name == "posix", "needs POSIX signals")
    def test_control_c_ends_the_process_by_the_signal_and_shows_what_had_arrived(self):
        a_chunk = json.dumps(ONCE).encode() + b"\n"
        died = -signal.SIGINT  # by the signal, so that a shell's loop stops too

        def check(arguments, answer, arrived, rest):
            server, command = self.serve(answer), (*COMMAND, *arguments)
            with start_process(
                server, *command, preexec_fn=default_interrupt
            ) as process:
                self.assertEqual(process.stdout.read(len(arrived)), arrived)
                self.assertTrue(server.wait_asked())
                wait_until_it_waits(process)
                process.send_signal(signal.SIGINT)
                out, err = process.communicate(timeout=20)
                self.assertEqual((process.returncode, out), (died, rest))
                self.assertNotIn(b"Traceback", err)
                self.assertLessEqual(err.count(b"\n"), 1)
            self.assertTrue(server.wait_closed())

        rows = (
            (["hi"], HELD, b"Once", b"\n"),
            (["hi"], [SILENCE], b"", b""),
            ([*WHOLE, "hi"], [SILENCE], b"", b""),
            (["-j", "hi"], HELD, a_chunk, b""),
        )
        self.side_by_side(check, rows)


def screen(data):
    """The lines that a terminal shows after these characters, without empty ones."""
    lines, column = [""], 0
    for token in re.findall(r"\x1b\[\d*K|\x1b\[\?\d+[hl]|.", data, re.S):
        line = lines[-1]
        if token == "\n":
            lines.append(" " * column)
        elif token == "\r":
            column = 0
        elif token == "\b":
            column = max(0, column - 1)
        elif token in ("\x1b[K", "\x1b[0K"):
            lines[-1] = line[:column]
        elif token == "\x1b[2K":
            lines[-1] = ""
        elif not token.startswith("\x1b"):
            lines[-1] = line[:column].ljust(column) + token + line[column + 1 :]
            column += 1
    return [line.rstrip() for line in lines if line.strip()]


class Terminal:
    """A command on a pseudo-terminal, which it belongs to.

    *command*: by default the command line.  *pipes* names the streams that are none of
    the terminal's, *piped* is written to standard input if that is one of them.
    *columns*: its width.  *changes* are of the environment.
    """

    def __init__(
        self,
        server,
        *arguments,
        command=COMMAND,
        pipes=(),
        piped=b"",
        columns=100,
        **changes,
    ):
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("4H", 24, columns, 0, 0))
        streams = {"stdin": slave, "stdout": slave, "stderr": slave}
        streams.update(dict.fromkeys(pipes, subprocess.PIPE))
        changes.setdefault("TERM", "xterm")
        self.process = subprocess.Popen(
            command + arguments,
            preexec_fn=self.take,  # noqa: PLW1509
            start_new_session=True,
            env=own_environment(server, COLUMNS=None, **changes),
            **streams,
        )
        os.close(slave)
        if "stdin" in pipes:
            self.process.stdin.write(piped)
            self.process.stdin.close()
            self.process.stdin = None
        self.data = b""  # what was shown
        self.position = 0  # in it, after what was expected so far

    @staticmethod
    def take():
        """Makes the terminal the process's own, so that its Ctrl-C is a signal."""
        default_interrupt()
        terminal = next(filter(os.isatty, (0, 1, 2)))
        fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()
        os.close(self.master)

    def read(self, deadline):
        """Some more of the output; False at its end."""
        seconds = max(0, deadline - time.monotonic())
        if not select.select([self.master], [], [], seconds)[0]:
            raise AssertionError("the terminal shows only %r" % self.data)
        try:
            data = os.read(self.master, 4096)
        except OSError:  # how Linux says that no process has the terminal open any more
            data = b""
        self.data += data
        return bool(data)

    def expect(self, pattern, seconds=20):
        """Reads until *pattern* is seen, after what was expected before."""
        deadline = time.monotonic() + seconds
        while True:
            found = re.compile(pattern, re.S).search(self.data, self.position)
            if found:
                self.position = found.end()
                return found.group()
            if not self.read(deadline):
                raise AssertionError("the terminal shows only %r" % self.data)

    def interrupt(self, pattern, seconds):
        """Types Ctrl-C until *pattern* is seen: a signal that comes just before a wait
        begins is noticed only at the next one, or at the next key."""
        for _ in range(20):
            self.type("\x03")
            with contextlib.suppress(AssertionError):
                return self.expect(pattern, seconds)
        raise AssertionError("Ctrl-C has no effect: %r" % self.data)

    def end(self, seconds=20):
        """Reads to the end; gives the exit status and all that was shown."""
        deadline = time.monotonic() + seconds
        while self.read(deadline):
            pass
        return self.process.wait(seconds), self.data.decode()

    def type(self, text):
        os.write(self.master, text.encode())

    def say(self, *turns):
        """Types each of the turns when it is prompted for."""
        for turn in turns:
            self.expect(rb"> ")
            self.type(turn)


Conversation = collections.namedtuple("Conversation", "status shown contents out")


def converse(server, *arguments, turns=(), pipes=(), **options):
    """What comes of a conversation at a terminal in which these turns are typed.

    Of each request that the server got, the contents of its messages; "out" is what a
    pipe got as standard output.
    """
    with Terminal(server, "-c", *arguments, pipes=pipes, **options) as terminal:
        terminal.say(*turns, "\x04")
        status, shown = terminal.end()
        out = terminal.process.stdout.read().decode() if "stdout" in pipes else ""
    asked = [received.json["messages"] for received in server.requests]
    contents = [[message["content"] for message in messages] for messages in asked]
    return Conversation(status, shown, contents, out)


def has_gnu_readline():
    with contextlib.suppress(ImportError):
        import readline

        return "libedit" not in (readline.__doc__ or "")
    return False


# Runs a command; a process that nohup began would ignore SIGHUP, and so would it.
RESET_SIGNALS = """
import os, signal, sys
signal.signal(signal.SIGHUP, signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])
"""
NO_TURNS = ("\n", "  \n", "/help\n")
ENDS = ("exit\n", " quit \n", "\x04")
PASTED = "\x1b[200~one\ntwo\nthree\x1b[201~\r"


@unittest.skipUnless(pty, "needs pseudo-terminals")
class CommandLineChat(Test):
    def test_a_line_is_a_turn_and_the_conversation_is_kept(self):
        server = self.serve(streamed("A"), streamed("B\n"), streamed("C"))
        turns = ("One\n", "Two\n", "Three\n")
        ran = converse(server, "-s", "Be brief.", turns=turns, pipes=["stdout"])
        self.assertEqual((ran.status, ran.out), (0, "A\nB\nC\n"))
        self.assertEqual(
            server.requests[2].json["messages"],
            [
                system("Be brief."),
                user("One"),
                assistant("A"),
                user("Two"),
                assistant("B\n"),
                user("Three"),
            ],
        )

    def test_the_words_of_the_command_line_are_the_first_turn(self):
        server = self.serve(STREAM)
        ran = converse(server, "One", turns=["Two\n"])
        self.assertEqual(ran.contents, [["One"], ["One", "Once upon", "Two"]])
        self.assertEqual(ran.status, 0)

    def test_input_that_is_piped_is_the_first_turn_and_the_rest_is_typed(self):
        def check(arguments, first, pipes):
            server = self.serve(STREAM)
            piped = {"pipes": pipes, "piped": b"a\nb\n"}
            ran = converse(server, *arguments, turns=["Two\n"], **piped)
            self.assertEqual(ran.contents, [[first], [first, "Once upon", "Two"]])
            self.assertEqual((ran.shown + ran.out).count("Once upon"), 2)

        rows = (
            ([], "a\nb", ["stdin"]),
            (["-"], "a\nb", ["stdin"]),
            (["One"], "One\n\na\nb", ["stdin", "stdout"]),
        )
        self.side_by_side(check, rows)

    def test_where_there_is_no_terminal_the_first_turn_is_the_only_one(self):
        def check(arguments, answer, status, content):
            server = self.serve(answer)
            alone = {"preexec_fn": os.setsid, "stdin": b"a\nb\n"}
            ran = run_process(server, *COMMAND, "-c", *arguments, **alone)
            self.assertEqual(ran.status, status, ran)
            (received,) = server.requests
            self.assertEqual(received.json["messages"], [user(*content)])

        rows = (
            ([], STREAM, 0, ["a\nb"]),
            (["hi"], BROKEN, 1, ["hi\n\na\nb"]),
            (["-a", "-"], STREAM, 0, [attach(b"a\nb\n")]),
        )
        self.side_by_side(check, rows)

    def test_attachments_are_part_of_the_first_turn_alone(self):
        def check(arguments, attached, **options):
            server = self.serve(http_answer(400, "no"), STREAM)
            turns = ("One\n", "Two\n", "Three\n")
            ran = converse(server, *arguments, turns=turns, **options)
            first, second = [
                [{"type": "text", "text": text}, attached] for text in ("One", "Two")
            ]
            # The first one fails, so that it is none.
            contents = [[first], [second], [second, "Once upon", "Three"]]
            self.assertEqual(ran.contents, contents)

        cat = self.file("cat.png", PNG)
        check(["-a", cat], attach(cat))
        check(["-a", "-"], attach(PNG), pipes=["stdin"], piped=PNG)

    def test_a_conversation_is_ended_by_a_signal_but_not_by_control_c(self):
        for number in (signal.SIGTERM, signal.SIGHUP):
            server = self.serve(HELD)
            command = (sys.executable, "-c", RESET_SIGNALS, *COMMAND, "-c")
            with Terminal(server, command=command) as terminal:
                terminal.say("One\n")
                terminal.expect(rb"Once")
                os.kill(terminal.process.pid, number)
                with self.subTest(number):
                    self.assertEqual(terminal.end()[0], -number)

    @unittest.skipUnless(shutil.which("bash"), "needs bash")
    def test_a_conversation_ends_when_nobody_reads_it_any_more(self):
        path = os.path.join(self.folder, "talk.jsonl")
        server = self.serve(streamed("One\n" * 100000))
        command = ("bash", "-c", 'exec "$@" | head -1', "bash", *COMMAND)
        arguments = ("-c", "--history", path, "hi")
        with Terminal(server, *arguments, command=command) as terminal:
            status, _ = terminal.end()
        self.assertEqual((status, len(server.requests)), (0, 1))

    def test_what_is_no_turn_is_not_asked(self):
        def check(end):
            server = self.serve(STREAM)
            with Terminal(server, "-c", TERM="dumb") as terminal:
                terminal.say(*NO_TURNS, "exit or quit\n", end)
                status, shown = terminal.end()
            self.assertEqual(status, 0)
            (received,) = server.requests
            self.assertEqual(received.json["messages"], [user("exit or quit")])
            self.assertEqual(shown.count("Ctrl-D"), 2)  # at first, and for /help
            self.assertEqual(shown.count("siraya-chat: "), 2)
            self.assertTrue(shown.endswith("\r\n"), shown)  # for the shell's prompt

        self.side_by_side(check, [[end] for end in ENDS])

    def test_a_text_that_is_pasted_is_one_turn(self):
        def check(term, pasted, pipes):
            server = self.serve(STREAM)
            ran = converse(server, turns=[pasted], TERM=term, pipes=pipes)
            self.assertEqual(ran.contents, [["one\ntwo\nthree"]])
            self.assertEqual(ran.status, 0)
            if has_gnu_readline():
                # Terminals are asked to say what is pasted, if they know how.
                self.assertEqual("\x1b[?2004h" in ran.shown, term == "xterm")

        rows = (
            ("xterm", PASTED, []),
            ("xterm", PASTED, ["stdout"]),
            ("xterm", PASTED, ["stdin"]),
            ("dumb", "one\ntwo\nthree\n", ["stdout"]),  # as by an editor that is older
        )
        self.side_by_side(check, rows)

    def test_a_terminal_that_is_opened_for_reading_alone_shows_its_prompts(self):
        server = self.serve(STREAM)
        command = ("sh", "-c", 'exec "$@" </dev/tty', "sh", *COMMAND)
        ran = converse(server, turns=["One\n"], command=command, pipes=["stdout"])
        self.assertEqual((ran.status, ran.out), (0, "Once upon\n"))

    def test_a_long_line_is_not_cut(self):
        # A terminal that is read in the usual way gives 4,095 characters of a line.
        def check(*pipes):
            server = self.serve(STREAM)
            line = "word " * 1200
            with Terminal(server, "-c", pipes=pipes) as terminal:
                terminal.expect(rb"> ")
                terminal.type(line + "\r")
                self.assertTrue(server.wait_asked())
            asked = server.requests[0].json["messages"]
            self.assertEqual(asked, [user(line.strip())])

        self.side_by_side(check, [["stdout"], ["stdin"]])

    def test_a_refusal_is_sent_back_as_what_the_model_said(self):
        server = self.serve(streamed(refusal=REFUSES), STREAM)
        ran = converse(server, turns=["One\n", "Two\n"])
        self.assertEqual(ran.contents[1], ["One", REFUSES, "Two"])

    def test_a_turn_without_words_is_left_out(self):
        # Services refuse an empty message, and a tool call without its result.
        calls = streamed(tool_calls=[dict(CALL, index=0)])
        server = self.serve(streamed(), calls, http_answer(400, "no"), STREAM)
        turns = ("One\n", "Two\n", "Three\n", "Four\n")
        ran = converse(server, turns=turns)
        self.assertEqual(ran.contents[3], ["Four"])
        self.assertEqual(ran.status, 0)

    def test_a_turn_that_breaks_off_is_kept_as_far_as_it_came(self):
        server = self.serve(BROKEN, STREAM)
        ran = converse(server, turns=["One\n", "Two\n"])
        self.assertEqual(ran.contents[1], ["One", "Once upon", "Two"])
        self.assertIn("lost", ran.shown)

    def test_options_hold_for_every_turn(self):
        server = self.serve(STREAM)
        options = ["-j", "-m", "m", "-o", "seed=1"]
        converse(server, *options, turns=["One\n", "Two\n"])
        for received in server.requests:
            asked = received.json
            self.assertEqual((asked["model"], asked["seed"]), ("m", 1))

    def test_a_mistake_ends_a_conversation_before_it_begins(self):
        for arguments in (["-o", "temperature=9"], ["-a", "none.png"], ["-o", "n=2"]):
            server = self.serve()
            with Terminal(server, "-c", *arguments) as terminal:
                status, shown = terminal.end()
            self.assertEqual((status, server.requests), (2, []))
            self.assertEqual(len(screen(shown)), 1, shown)

    def test_control_c_gives_up_a_line_and_stops_an_answer(self):
        server = self.serve(STREAM, HELD, STREAM)
        with Terminal(server, "-c") as terminal:
            terminal.say("One\n")
            terminal.expect(rb"Once upon\r\n.*> ")
            terminal.type("not this")
            terminal.expect(rb"this")
            terminal.interrupt(rb"> ", 1)
            terminal.type("Two\n")
            terminal.expect(rb"Once")
            terminal.interrupt(rb"> ", 2)
            self.assertTrue(server.wait_closed())
            terminal.type("Three\n")
            terminal.say("\x04")
            status, shown = terminal.end()
        self.assertEqual(status, 0)
        self.assertNotIn("Traceback", shown)
        messages = server.requests[2].json["messages"]
        contents = [message["content"] for message in messages]
        self.assertEqual(contents, ["One", "Once upon", "Two", "Once", "Three"])

    def test_where_standard_input_is_a_program_s_own_nothing_is_typed(self):
        program = (
            "import io, sys, siraya_chat; sys.stdin = io.StringIO('One')\n"
            "sys.exit(siraya_chat.main(['-c']))"
        )
        server = self.serve(STREAM)
        with Terminal(server, command=(sys.executable, "-c", program)) as terminal:
            self.assertEqual(terminal.end(), (0, "Once upon\r\n"))
        self.assertEqual(len(server.requests), 1)

    def test_where_standard_input_is_closed_nothing_is_typed(self):
        command = ("sh", "-c", 'exec "$@" <&-', "sh", *COMMAND)
        with Terminal(self.serve(STREAM), "-c", "hi", command=command) as terminal:
            self.assertEqual(terminal.end(), (0, "Once upon\r\n"))


PROGRESS = rb"\d[\d.]* ?Mi?B.*?\d+ ?%|\d+ ?%.*?\d[\d.]* ?Mi?B"  # megabytes, per cent
IN_THE_BACKGROUND = ("bash", "-ic", '"$0" "$@" & wait $!', *COMMAND)


@unittest.skipUnless(pty, "needs pseudo-terminals")
class CommandLineTerminals(Test):
    def after_waiting(self, answer, *arguments, **options):
        """The status and what was shown, of an answer that came after a sign of
        life."""
        go = threading.Event()
        with Terminal(
            self.serve([go, answer]), "hi", *arguments, **options
        ) as terminal:
            terminal.expect(rb"waiting")
            go.set()
            return terminal.end()

    def test_a_sign_of_life_is_shown_while_waiting_and_gone_when_text_comes(self):
        def check(*row):
            status, data = self.after_waiting(*row)
            self.assertEqual((status, screen(data)), (0, ["Once upon"]))
            self.assertNotIn("POST", data)  # what the log tells of the end of it
            # It is taken away once, and then no more.
            self.assertTrue(data.endswith("\r\x1b[KOnce upon\r\n"), data)

        self.side_by_side(check, ([STREAM], [ANSWER, *WHOLE]))

    def test_the_sign_of_life_is_gone_when_json_comes(self):
        status, data = self.after_waiting(STREAM, "-j")
        self.assertEqual(status, 0)
        self.assertEqual([*map(json.loads, screen(data))], [ONCE, UPON, END])

    def test_an_error_takes_the_sign_of_life_away_too(self):
        status, data = self.after_waiting(http_answer(400, "no"))
        self.assertEqual(status, 1)
        (line,) = screen(data)
        self.assertIn("400", line)

    def test_the_sign_of_life_is_no_part_of_what_a_pipe_gets(self):
        go = threading.Event()
        server = self.serve([go, STREAM])
        with Terminal(server, "hi", pipes=["stdout"]) as terminal:
            terminal.expect(rb"waiting")
            go.set()
            self.assertEqual(terminal.process.stdout.read(), b"Once upon\n")
            _, data = terminal.end()
            self.assertEqual(screen(data), [])

    def test_the_sign_of_life_fits_a_narrow_terminal(self):
        slow = http_answer(429, "slow", Retry_After="0.6")
        with Terminal(self.serve(slow, STREAM), "hi", columns=20) as terminal:
            status, data = terminal.end()
        self.assertEqual((status, screen(data)), (0, ["Once upon"]))
        shown = re.findall(r"\x1b\[K([^\r]+)", data)[:-1]
        self.assertTrue(any("429" in line for line in shown), data)
        self.assertLess(max(map(len, shown)), 20)

    def test_no_sign_of_life_where_it_could_do_harm(self):
        def check(what, **options):
            with Terminal(self.serve([0.3, STREAM]), "hi", **options) as terminal:
                _, data = terminal.end()
                if "stderr" in options.get("pipes", ()):
                    data += terminal.process.stderr.read().decode()
            self.assertIn("Once upon", data)
            self.assertNotIn("waiting", data, what)
            self.assertNotIn("\x1b[K", data, what)

        rows = [
            ("standard error is a pipe", {"pipes": ["stderr"]}),
            ("standard input is one, as of xargs", {"pipes": ["stdin"]}),
            ("the terminal knows no sequences", {"TERM": "dumb"}),
            ("nobody knows what it knows", {"TERM": None}),
        ]
        if shutil.which("bash"):
            background = {"command": IN_THE_BACKGROUND, "PS1": ""}
            rows.append(("it runs in the background", background))
        self.side_by_side(lambda what, options: check(what, **options), rows)

    def test_what_is_typed_as_input_is_waited_for_with_a_sign_of_life(self):
        server = self.serve(STREAM)
        with Terminal(server, "-") as terminal:
            terminal.expect(rb"reading")
            terminal.type("What is it?\n\x04")
            self.assertEqual(terminal.end()[0], 0)
        self.assertEqual(server.requests[0].json["messages"], [user("What is it?")])

    def test_a_large_attachment_shows_its_size_and_how_far_it_is(self):
        clip = self.file("clip.mp4", b"\0\0\0\x18ftypmp42" + b"\0" * (12 << 20))
        go = threading.Event()
        server = self.serve(STREAM, greeting=[go])  # which reads nothing until then
        with Terminal(server, "-a", clip, "hi") as terminal:
            shown = terminal.expect(PROGRESS)
            go.set()
            status, data = terminal.end()
        self.assertRegex(shown, rb"1[2-8]\.?\d* ?M")
        self.assertEqual((status, screen(data)), (0, ["Once upon"]))

    def test_a_dry_run_shows_the_beginning_of_what_is_attached(self):
        clip = self.file("clip.mp4", b"\0\0\0\x18ftypmp42" + b"\0" * 30000)
        long = "word " * 200
        with Terminal(None, "-n", "-a", clip, long) as terminal:
            status, data = terminal.end()
        self.assertEqual(status, 0)
        shown = "".join(data.split("\r\n"))
        self.assertRegex(shown, r'"data:video/mp4;base64,[A-Za-z0-9+/]{20,100}\u2026"')
        self.assertIn(long, shown)

    def test_control_characters_of_an_answer_do_not_reach_a_terminal(self):
        pieces = [
            "a\x1b",
            "[31mred",
            "\x1b]0;title\x07",
            "\x9b2J",
            "\x7f\0\x08\x0b\x0c",
            "x\ry",
            "\tb\nc\u00e9",
        ]
        shown = "\\Aa\\[31mred\\]0;title2Jxy(\t| +)b\r\nc\u00e9\r\n\\Z"
        streamed = sse(*map(chunk, pieces), END, "[DONE]")
        whole = http_answer(200, completion("".join(pieces)))

        def check(answer, pattern, *arguments):
            server = self.serve(answer)
            with Terminal(server, "hi", *arguments, pipes=["stderr"]) as terminal:
                status, data = terminal.end()
            self.assertEqual(status, 0)
            control = re.findall("[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]", data)
            self.assertEqual(control, [])
            self.assertRegex(data, pattern)

        rows = (
            (streamed, shown),
            (whole, shown, *WHOLE),
            (streamed, r"\A\{", "-j"),
        )
        self.side_by_side(check, rows)

    def test_a_prompt_that_is_typed_at_a_terminal_is_not_waited_for(self):
        with Terminal(self.serve(STREAM), pipes=["stdout", "stderr"]) as terminal:
            self.assertEqual(terminal.process.wait(20), 2)
            self.assertIn(b"prompt", terminal.process.stderr.read())


def streamed(text=None, finish_reason="stop", **delta):
    """A streamed answer of one piece."""
    return sse(chunk(text, **delta), chunk(None, finish_reason), "[DONE]")


REFUSES = "I will not."
# What, the message, its finish_reason, standard error, statuses without and with -j.
COMMAND_ENDINGS = (
    ("cut", {"content": "Half"}, "length", "limit of tokens", 0, 0),
    ("filtered", {"content": "Half"}, "content_filter", "content filter", 0, 0),
    ("unknown", {"content": "Half"}, None, "does not say", 0, 0),
    ("of its own", {"content": "Half"}, "abort", "ended early: abort", 0, 0),
    ("refused", {"refusal": REFUSES}, "stop", REFUSES, 1, 0),
    (
        "tool calls",
        {"tool_calls": [dict(CALL, index=0)]},
        "tool_calls",
        "call: f",
        1,
        0,
    ),
    ("empty", {}, "stop", "empty", 1, 1),
    ("filtered to nothing", {}, "content_filter", "filter; the answer is empty", 1, 1),
    (
        "two calls",
        {"tool_calls": [dict(CALL, index=0), dict(CALL, index=1, id="c2")]},
        "tool_calls",
        "call: f; the model wants to call: f",
        1,
        0,
    ),
)
NOT_BY_SCHEMA = (  # the answer to --schema, its finish_reason, words of standard error
    ("no JSON", "stop", "not JSON"),
    ('{"answer":', "length", "limit of tokens"),
    ('{"answer":', "content_filter", "content filter"),
)
BY_SCHEMA = (
    '{"answer": 1}',
    '```json\n{"answer": 1}\n```',
    '\n~~~\n{"answer": 1}\n~~~\n',
)
REPORTED = {"error": {"message": "overloaded", "code": 529}}
LOST = [SSE_HEAD + framed(event(chunk("x" * 120))), CLOSE]
SPOKEN = (  # answer, arguments, how standard error begins
    (sse(ONCE, REPORTED), [], "siraya-chat: the service reported: overloaded"),
    (LOST, [], "siraya-chat: the connection was lost after 120 characters"),
    (LOST, ["-j"], "siraya-chat: the connection was lost after 120 characters"),
    (http_answer(429, "slow"), ["-o", "max_retries=0"], "siraya-chat: HTTP 429"),
)


class CommandLineTruth(Test):
    def test_what_an_answer_lacks_is_said_in_one_line(self):
        for what, message, reason, words, plain, with_json in COMMAND_ENDINGS:
            several = sse(chunk(**message), chunk(None, reason), "[DONE]")
            text = message.get("content")
            rest = {key: message[key] for key in message if key != "content"}
            whole = http_answer(200, completion(text, reason, **rest))
            for answer, way in ((several, []), (whole, WHOLE)):
                with self.subTest(what, way=way):
                    outcome = run_main(self.serve(answer), "hi", *way)
                    shown = text + "\n" if text else ""
                    self.assertEqual((outcome.status, outcome.out), (plain, shown))
                    self.assert_one_line(outcome.err, words)
                    outcome = run_main(self.serve(answer), "hi", "-j", *way)
                    self.assertEqual(outcome.status, with_json)
                    self.assert_one_line(outcome.err, words)
                    for line in outcome.out.splitlines():
                        json.loads(line)

    def test_of_an_answer_by_a_schema_the_json_alone_is_printed(self):
        schema = ["--schema", json.dumps(SCHEMA), "hi"]
        for text in BY_SCHEMA:
            whole = http_answer(200, completion(text))
            streamed = sse(*map(chunk, text), END, "[DONE]")
            for answer, way in ((streamed, []), (whole, WHOLE)):
                with self.subTest(text, way=way):
                    outcome = run_main(self.serve(answer), *schema, *way)
                    self.assertEqual(outcome, (0, '{"answer": 1}\n', ""))

    def test_an_answer_by_a_schema_that_is_not_json_is_status_1_in_one_line(self):
        schema = ["--schema", json.dumps(SCHEMA), "hi"]
        for text, reason, words in NOT_BY_SCHEMA:
            for way in ([], ["-j"], WHOLE):
                with self.subTest(text, way=way, reason=reason):
                    answer = streamed(text, reason)
                    if way is WHOLE:
                        answer = http_answer(200, completion(text, reason))
                    outcome = run_main(self.serve(answer), *schema, *way)
                    self.assertEqual(outcome.status, 1)
                    self.assertIn(text, outcome.out.replace("\\", ""))
                    self.assert_one_line(outcome.err, "not JSON")
                    self.assertIn(words, outcome.err)
        outcome = run_main(self.serve(BROKEN), *schema)
        self.assertEqual((outcome.status, outcome.out), (1, "Once upon\n"))
        refused = streamed(refusal=REFUSES)
        outcome = run_main(self.serve(refused), "-j", *schema)
        self.assertEqual(outcome.status, 0)
        self.assert_one_line(outcome.err, REFUSES)

    def test_failures_are_told_as_a_person_would(self):
        for answer, arguments, beginning in SPOKEN:
            with self.subTest(beginning):
                outcome = run_main(self.serve(answer), "hi", *arguments)
                self.assertEqual(outcome.status, 1)
                self.assert_one_line(outcome.err, beginning)
                self.assertNotIn("chunk", outcome.err)

    def test_json_is_json_whatever_the_service_sends(self):
        odd = '{"choices": [], "usage": {"a": NaN, "b": Infinity, "c": 1e999}}'
        server = self.serve(sse(ONCE, END, odd, "[DONE]"))
        outcome = run_main(server, "-j", "-u", "hi")
        self.assertEqual(outcome.status, 0)
        for line in outcome.out.splitlines():
            json.loads(line, parse_constant=self.fail)

    def test_verbose_tells_attempts_and_retries_on_standard_error_alone(self):
        server = self.serve(http_answer(429, "slow", Retry_After="0"), STREAM)
        outcome = run_process(server, *COMMAND, "-v", "hi")
        self.assertEqual((outcome.status, outcome.out), (0, "Once upon\n"))
        for words in ("connecting", "waiting", "429", "retrying", "(1 of 2)", "200"):
            self.assertIn(words, outcome.err)
        for line in outcome.err.splitlines():
            self.assertTrue(line.startswith("siraya-chat: "), line)

    def test_verbose_tells_of_sending_at_its_begin_and_its_end(self):
        clip = self.file("clip.mp4", b"\0\0\0\x18ftypmp42" + b"\0" * (24 << 20))
        server = self.serve(STREAM, greeting=[0.3])  # in which nothing is read
        outcome = run_main(server, "-v", "-a", clip, "hi")
        self.assertEqual(outcome.status, 0)
        told = re.findall(r"sending (\d+) of (\d+) bytes", outcome.err)
        total = told[0][1]
        self.assertEqual(told, [("0", total), (total, total)])


MODELS = {"object": "list", "data": [{"id": "a/b"}, {"id": "c", "owned_by": "d"}]}


class CommandLineModels(Test):
    def test_models_are_listed_one_a_line_or_as_json(self):
        server = self.serve(http_answer(200, MODELS))
        self.assertEqual(run_main(server, "--models"), (0, "a/b\nc\n", ""))
        outcome = run_main(server, "--models", "-j")
        self.assertEqual((outcome.status, outcome.err), (0, ""))
        self.assertEqual(json.loads(outcome.out), MODELS["data"])
        self.assertEqual(server.requests[0].method, "GET")

    def test_what_is_no_list_of_models_is_status_1(self):
        for answer in (http_answer(404, "no"), http_answer(200, {"models": 1})):
            outcome = run_main(self.serve(answer), "--models")
            self.assertEqual((outcome.status, outcome.out), (1, ""))
            self.assert_one_line(outcome.err)

    def test_a_dry_run_does_not_ask_for_them_either(self):
        server = self.serve(http_answer(200, MODELS))
        outcome = run_main(server, "--models", "-n")
        self.assertEqual((outcome.status, outcome.out), (2, ""))
        self.assert_one_line(outcome.err, "-n")
        self.assertEqual(server.connections, 0)

    def test_options_of_a_question_are_none_of_the_list(self):
        server = self.serve(http_answer(200, MODELS))
        outcome = run_main(server, "--models", "-u", "--schema", '{"type": "object"}')
        self.assertEqual(outcome, (0, "a/b\nc\n", ""))

    def test_options_of_the_call_hold_for_the_list_too(self):
        server = self.serve(http_answer(500, "no"))
        outcome = run_main(server, "--models", "-o", "max_retries=1")
        self.assertEqual((outcome.status, len(server.requests)), (1, 2))


C_LOCALE = {
    "LC_ALL": "C",
    "PYTHONUTF8": "0",
    "PYTHONCOERCECLOCALE": "0",
    "PYTHONIOENCODING": None,
}
ACUTE = "caf\u00e9"
REFUSED_OPTIONS = (  # of -o; the second column is in the message
    (" temperature=1", "' temperature=1'"),
    ("temperature =1", "'temperature =1'"),
    (" api_key=x", "' api_key=x'"),
    ("api_key=x", "api_key"),
    ("base_url=https://x.example", "base_url"),
    ("headers={}", "headers"),
    ("proxy=http://x.example", "proxy"),
    ("connect_timeout=1", "connect_timeout"),
)
REFUSED_BY_A_DRY_RUN = (
    "timeout=0",
    "timeout=soon",
    "max_retries=-1",
    "max_retries=two",
    "deadline=0",
    "temperature=9",
    "extra_headers=1",
)


class CommandLineInput(Test):
    def content(self, server):
        return server.requests[-1].json["messages"][-1]["content"]

    def check_content(self, content, *arguments, **options):
        server = self.serve(STREAM)
        outcome = run_main(server, *arguments, **options)
        self.assertEqual(outcome, (0, "Once upon\n", ""))
        self.assertEqual(self.content(server), content)

    def test_options_stand_between_words_and_after_two_hyphens_all_are_words(self):
        mixed = ("one", "-m", "m", "two", "-s", "x", "three")
        self.check_content("one two three -n -- --x", *mixed, "--", "-n", "--", "--x")

    def test_a_hyphen_attaches_standard_input(self):
        content = [{"type": "text", "text": "hi"}, attach(PNG)]
        self.check_content(content, "-a", "-", "hi", stdin=PNG)
        self.check_content([attach(PNG)], "-a", "-", stdin=PNG)

    def test_a_type_after_a_hyphen_overrules_detection(self):
        webp = [attach(PNG, media_type="image/webp")]
        for option in ("-a", "--attach"):
            self.check_content(webp, option, "-;type=image/webp", stdin=PNG)

    def test_a_type_after_the_name_of_a_file_overrules_detection(self):
        path = self.file("odd.bin", b"\0\1\2\3")
        server = self.serve(STREAM)
        outcome = run_main(server, "-a", path + ";type=image/webp")
        self.assertEqual((outcome.status, outcome.err), (0, ""))
        self.assertEqual(self.content(server), [attach(path, media_type="image/webp")])
        outcome = run_main(server, "-a", path + ";type=webp")
        self.assertEqual(outcome.status, 2)
        self.assert_one_line(outcome.err, "webp")
        outcome = run_main(server, "-a", path)
        self.assertEqual(outcome.status, 2)
        self.assert_one_line(outcome.err, "'odd.bin'")
        self.assertIn("FILE;type=image/png", outcome.err)

    def test_everything_is_utf_8_in_a_locale_that_knows_ascii_alone(self):
        name = "na\u00efve.txt"
        path = self.file(name, ACUTE.encode())
        server = self.serve(streamed(ACUTE))
        arguments = (ACUTE, "-s", ACUTE, "-a", name)
        options = dict(C_LOCALE, stdin=ACUTE.encode(), cwd=self.folder)
        outcome = run_process(server, *COMMAND, *arguments, **options)
        self.assertEqual(outcome, (0, ACUTE + "\n", ""))
        first, _ = server.requests[0].json["messages"]
        self.assertEqual(first, system(ACUTE))
        text = {"type": "text", "text": ACUTE + "\n\n" + ACUTE}
        self.assertEqual(self.content(server), [text, attach(path)])

    def test_names_and_errors_are_utf_8_in_that_locale_too(self):
        refusal = http_answer(400, {"error": {"message": ACUTE}})

        def check(arguments, status):
            server = self.serve(refusal)
            outcome = run_process(server, *COMMAND, *arguments, **C_LOCALE)
            self.assertEqual(outcome.status, status)
            self.assert_one_line(outcome.err, ACUTE)

        rows = (["hi"], 1), (["-a", ACUTE + ".png", "hi"], 2)
        self.side_by_side(check, rows)

    @unittest.skipUnless(os.name == "posix", "needs arguments that are bytes")
    def test_an_argument_that_is_not_utf_8_is_refused(self):
        def check(environment):
            outcome = run_process(self.serve(), *COMMAND, b"caf\xe9", **environment)
            self.assertEqual((outcome.status, outcome.out), (2, ""))
            self.assert_one_line(outcome.err, "not UTF-8")

        self.side_by_side(check, [[{}], [C_LOCALE]])

    def test_an_option_that_is_no_parameter_of_a_request_is_refused(self):
        for option, words in REFUSED_OPTIONS:
            with self.subTest(option):
                server = self.serve()
                outcome = run_main(server, "-o", option, "hi")
                self.assertEqual((outcome.status, outcome.out), (2, ""))
                self.assert_one_line(outcome.err, words)
                self.assertEqual(server.connections, 0)

    def test_a_dry_run_checks_every_setting_of_the_call(self):
        for option in REFUSED_BY_A_DRY_RUN:
            with self.subTest(option):
                arguments = ("-n", "-o", option, "hi")
                outcome = run_main(None, *arguments, SIRAYA_API_KEY=None)
                self.assertEqual((outcome.status, outcome.out), (2, ""))
                self.assert_one_line(outcome.err, option.partition("=")[0])

    def test_a_character_that_is_cut_off_at_the_end_is_left_out_and_said(self):
        for data in ("caf\u00e9".encode()[:-1], "caf\U0001f600".encode()[:-1]):
            server = self.serve(STREAM)
            outcome = run_main(server, stdin=data)
            self.assertEqual((outcome.status, outcome.out), (0, "Once upon\n"))
            self.assert_one_line(outcome.err, "within a character")
            self.assertEqual(self.content(server), "caf")
        self.check_content("caf\u00e9", stdin="caf\u00e9")

    def test_a_word_that_is_a_file_is_said_once(self):
        names = [self.file(name, b"x") for name in ("a.txt", "b.txt", "c.txt")]
        server = self.serve(STREAM)
        outcome = run_main(server, "-a", *names)  # -a *.txt
        self.assertEqual(outcome.status, 0)
        self.assert_one_line(outcome.err, names[1])
        self.assertIn("-a attaches it", outcome.err)
        self.assertEqual(self.content(server)[0]["text"], " ".join(names[1:]))

    @unittest.skipUnless(os.name == "posix", "needs POSIX descriptors")
    def test_input_that_cannot_be_read_is_empty(self):
        server = self.serve(STREAM)
        with open(os.devnull, "wb") as unreadable:  # as nohup has it
            with start_process(server, *COMMAND, "hi", stdin=unreadable) as process:
                out, err = process.communicate(timeout=20)
        self.assertEqual((process.returncode, out, err), (0, b"Once upon\n", b""))

    @unittest.skipUnless(os.name == "posix", "needs POSIX pipes")
    def test_input_that_does_not_wait_is_waited_for(self):
        def check(*arguments):
            server = self.serve(STREAM)
            reader, writer = os.pipe()
            os.set_blocking(reader, False)
            command = (*COMMAND, *arguments)
            with start_process(server, *command, stdin=reader) as process:
                wait_until_it_waits(process)
                os.write(writer, b"a" * 10)
                wait_until_it_waits(process)
                os.write(writer, b"b" * 10)
                os.close(writer)
                out, err = process.communicate(timeout=20)
            self.assertEqual((process.returncode, out, err), (0, b"Once upon\n", b""))
            self.assertFalse(os.get_blocking(reader))  # the flag is others' too
            os.close(reader)
            self.assertIn("aaaaaaaaaabbbbbbbbbb", server.requests[0].body.decode())

        self.side_by_side(check, [[], ["-a", "-"]])


YESTERDAY = [user("a"), dict(assistant("b"), model="m")]
SAID = [user("hi"), dict(assistant("Once upon"), model="m")]
HALF = b'{"role": "user", "content": "caf\xc3'  # of a line
NO_HISTORIES = (  # what the file holds, words of standard error
    (b"Buy bread.\n", "line 1 is not a message"),
    (b'{"role": "user", "content": "a"}\n1\n', "line 2 is not a message"),
    (b'\n\n"x"\n', "line 3 is not a message"),
    (b"{}\n", "line 1 is not a message"),
    (b'{"role": "user", "content": NaN}\n', "messages[0]"),
    (b"\xff\xfe[\x00", "line 1 is not a message"),
    (b"[]", "JSON list"),
    (b'[{"role": "user",\n "content": "a"}]', "JSON list"),
)


def obey_permissions():
    """Has a child obey permissions even if root runs the tests."""
    if os.getuid() == 0:
        PRCTL(24, 1, 0, 0, 0)  # PR_CAPBSET_DROP, CAP_DAC_OVERRIDE: linux/prctl.h


try:
    PRCTL = ctypes.CDLL(None).prctl
except (AttributeError, TypeError):  # not Linux

    def PRCTL(*arguments):
        os.setuid(65534)


class CommandLineHistory(Test):
    def lines(self, messages):
        return "".join(json.dumps(message) + "\n" for message in messages).encode()

    def history(self, messages):
        return self.file("talk.jsonl", self.lines(messages))

    def read(self, path):
        with open(path, "rb") as file:
            return file.read()

    def messages(self, path):
        return [json.loads(line.decode()) for line in self.read(path).splitlines()]

    def check_added(self, before, added, *arguments, answer=STREAM, status=0):
        """To a file of these bytes the lines of these messages are added, and the rest
        stays.  Gives the request and what was told."""
        path = os.path.join(self.folder, "talk.jsonl")
        if before is not None:
            self.file("talk.jsonl", before)
        server = self.serve(answer)
        outcome = run_main(server, "--history", path, "-m", "m", *arguments)
        self.assertEqual(outcome.status, status, outcome)
        after = self.read(path)
        self.assertTrue(after.startswith(before or b""))
        after = after[len(before or b"") :]
        if not (before or b"\n").endswith(b"\n"):
            self.assertEqual(after[:1] or b"\n", b"\n")
            after = after[1:]
        if added is not None:
            self.assertEqual([json.loads(line) for line in after.splitlines()], added)
            self.assertEqual(after.endswith(b"\n"), bool(added))
        os.remove(path)
        return server.requests[0].json["messages"], outcome.err

    def test_a_turn_is_added_as_lines_with_the_model_beside_the_answer(self):
        before = self.lines(YESTERDAY)
        # Some editors put a mark before the first line, or end lines in two ways.
        edited = b"\xef\xbb\xbf  " + before.replace(b"\n", b"\r\n")
        for content in (before, edited):
            asked, _ = self.check_added(content, SAID, "hi")
            self.assertEqual(asked, [user("a"), assistant("b"), user("hi")])
        cat = self.file("cat.png", PNG)
        question = user("hi", attach(cat))
        self.check_added(before, [question, SAID[1]], "-a", cat, "hi")
        self.check_added(before, SAID, "-j", "hi")
        self.check_added(before, SAID, *WHOLE, "hi", answer=ANSWER)

    def test_a_file_that_is_not_there_or_empty_begins_a_conversation(self):
        for content in (None, b"", b"\n", b" \n\n"):
            with self.subTest(content):
                asked, err = self.check_added(content, SAID, "hi")
                self.assertEqual((asked, err), ([user("hi")], ""))

    def test_a_new_file_is_its_owner_s_alone_and_another_stays_as_it_is(self):
        path = os.path.join(self.folder, "new.jsonl")
        run_main(self.serve(STREAM), "--history", path, "hi")
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        path = self.history(YESTERDAY)
        os.chmod(path, 0o644)
        link = os.path.join(self.folder, "link.jsonl")
        os.symlink(path, link)
        run_main(self.serve(STREAM), "--history", link, "hi")
        self.assertTrue(os.path.islink(link))
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o644)
        self.assertEqual(len(self.messages(path)), 4)

    def test_a_system_message_is_written_to_an_empty_file_alone(self):
        asked, _ = self.check_added(b"", [BRIEF, *SAID], "-s", "Be brief.", "hi")
        self.assertEqual(asked[0], BRIEF)
        old, said = self.lines([system("old"), *YESTERDAY]), [BRIEF, user("a")]
        for before in (old, self.lines(YESTERDAY)):
            asked, _ = self.check_added(before, SAID, "-s", "Be brief.", "hi")
            self.assertEqual(asked[:2], said)
        asked, _ = self.check_added(old, SAID, "hi")
        self.assertEqual(asked[0], system("old"))

    def test_a_turn_without_words_adds_nothing(self):
        for answer in (
            http_answer(400, "no"),
            streamed(),
            streamed(tool_calls=[dict(CALL, index=0)]),
            [SSE_HEAD, CLOSE],
        ):
            self.check_added(b"", [], "hi", answer=answer, status=1)

    def test_a_turn_with_words_adds_them_however_it_ended(self):
        refused = [SAID[0], dict(SAID[1], content=REFUSES)]
        self.check_added(b"", refused, "hi", answer=streamed(refusal=REFUSES), status=1)
        for arguments in ([], ["-j"], ["--schema", "{}"]):
            self.check_added(b"", SAID, *arguments, "hi", answer=BROKEN, status=1)
        self.check_added(b"", SAID, "--schema", "{}", "hi", status=1)

    def test_half_a_line_is_left_out_and_said_and_what_is_added_begins_a_new_one(self):
        for before, number in ((HALF, 1), (self.lines(YESTERDAY) + HALF, 3)):
            asked, err = self.check_added(before, SAID, "hi")
            self.assertEqual(len(asked), number)
            self.assert_one_line(err, "line %d is broken" % number)
        before = self.lines(YESTERDAY) + HALF + b"\n" + self.lines(SAID)
        asked, err = self.check_added(before, SAID, "hi")
        self.assertEqual(len(asked), 5)
        self.check_added(self.lines(YESTERDAY)[:-1], SAID, "hi")

    def test_another_model_than_that_of_the_last_answer_is_said(self):
        for model in ("m", None, "other"):
            answer = dict(assistant("b"), model=model)
            before = self.lines([user("a"), answer])
            _, err = self.check_added(before, SAID, "hi")
            if model == "other":
                self.assert_one_line(err, "the last answer is of other, the next of m")
            else:
                self.assertEqual(err, "")

    def test_the_question_is_kept_whatever_the_body_is_made_to_be(self):
        path = os.path.join(self.folder, "talk.jsonl")
        for body in ("{}", '{"messages": []}', '{"messages": {}}', '{"model": null}'):
            arguments = ("-o", "extra_body=" + body, "--history", path, "hi")
            with self.subTest(body):
                outcome = run_main(self.serve(STREAM), *arguments)
                self.assertEqual((outcome.status, outcome.err), (0, ""))
        kept = [message["content"] for message in self.messages(path)]
        self.assertEqual(kept, ["hi", "Once upon"] * 4)

    def test_a_last_line_that_is_broken_is_left_out_whatever_it_is(self):
        for broken in (b"xyz", b"\0\0\0\0", b'{"role": "us'):
            path = self.file("talk.jsonl", self.lines(YESTERDAY) + broken)
            server = self.serve(STREAM)
            with self.subTest(broken):
                outcome = run_main(server, "-m", "m", "--history", path, "hi")
                self.assertEqual(outcome.status, 0)
                self.assert_one_line(outcome.err, "line 3 is broken")
                said = server.requests[0].json["messages"]
                self.assertEqual(len(said), len(YESTERDAY) + 1)

    def test_a_file_that_is_no_conversation_is_refused_and_kept(self):
        for content, words in NO_HISTORIES:
            with self.subTest(content):
                path = self.file("talk.jsonl", content)
                server = self.serve()
                outcome = run_main(server, "--history", path, "hi")
                self.assertEqual((outcome.status, outcome.out), (2, ""))
                self.assert_one_line(outcome.err, words)
                self.assertEqual(server.connections, 0)
                self.assertEqual(self.read(path), content)

    @unittest.skipUnless(os.name == "posix", "needs a POSIX shell")
    def test_the_command_that_converts_a_history_of_the_old_form_does_so(self):
        old = json.dumps([user("caf\u00e9"), assistant("b")], indent=1)
        path = self.file("my 'talk'.json", old.encode())
        outcome = run_main(None, "-n", "--history", path, "hi")
        self.assertEqual(outcome.status, 2)
        command = outcome.err.partition("to convert it: ")[2]
        self.assertTrue(command.startswith("python3 "))
        command = command.replace("python3", sys.executable, 1)
        subprocess.check_call(["sh", "-c", command])
        self.assertEqual(self.messages(path + "l"), [user("caf\u00e9"), assistant("b")])
        self.assertEqual(run_main(None, "-n", "--history", path + "l", "hi").status, 0)

    def test_it_is_utf_8_in_a_locale_that_knows_ascii_alone(self):
        path = os.path.join(self.folder, ACUTE + ".jsonl")
        server, arguments = self.serve(streamed(ACUTE)), ("--history", path, "hi")
        outcome = run_process(server, *COMMAND, *arguments, **C_LOCALE)
        self.assertEqual(outcome, (0, ACUTE + "\n", ""))
        self.assertIn(ACUTE.encode(), self.read(path))

    @unittest.skipUnless(pty, "needs pseudo-terminals")
    def test_it_grows_with_every_turn_of_a_conversation(self):
        path, kept = self.history([]), []

        def answer(received):
            kept.append(self.messages(path))
            return streamed("A")

        converse(self.serve(answer), "--history", path, turns=["One\n", "Two\n"])
        default = siraya_chat.DEFAULT_MODEL
        turn = [user("One"), dict(assistant("A"), model=default)]
        self.assertEqual(kept, [[], turn])

    def test_turns_are_appended_under_a_lock(self):
        path, size = os.path.join(self.folder, "talk.jsonl"), 200000
        barrier = threading.Barrier(4)

        def answer(received):
            barrier.wait(20)  # so that all have read the file, and write at once
            return streamed("x" * size)

        server = self.serve(answer)

        def check(name):
            arguments = ("--history", path, "-s", "Be brief.", name)
            outcome = run_process(server, *COMMAND, *arguments)
            self.assertEqual((outcome.status, outcome.err), (0, ""))

        names = ["a", "b", "c", "d"]
        self.side_by_side(check, [[name] for name in names])
        first, *rest = self.messages(path)
        self.assertEqual(first, BRIEF)
        self.assertEqual(sorted(message["content"] for message in rest[::2]), names)
        self.assertEqual({len(message["content"]) for message in rest[1::2]}, {size})

    @unittest.skipUnless(pty, "needs POSIX locks")
    def test_what_another_command_is_adding_is_waited_for(self):
        path = self.file("talk.jsonl", b"")
        with open(path, "ab") as other:

            def answer(received):
                fcntl.flock(other, fcntl.LOCK_EX)
                return STREAM

            arguments = ("--history", path, "-s", "Be brief.", "-m", "m", "hi")
            server = self.serve(answer)
            with start_process(server, *COMMAND, *arguments) as process:
                self.assertEqual(process.stdout.read(10), b"Once upon\n")
                wait_until_it_waits(process)
                self.assertEqual(self.read(path), b"")
                other.write(self.lines(YESTERDAY))
                other.close()  # which ends the lock
                self.assertEqual((process.stderr.read(), process.wait(20)), (b"", 0))
        # The file is no longer empty: the system message is not for it.
        self.assertEqual(self.messages(path), [*YESTERDAY, *SAID])

    @unittest.skipUnless(pty, "needs POSIX locks")
    def test_a_signal_while_a_turn_is_saved_waits(self):
        path = self.file("talk.jsonl", b"")
        with open(path, "ab") as other:

            def answer(received):
                fcntl.flock(other, fcntl.LOCK_EX)
                return STREAM

            arguments = ("--history", path, "hi")
            with start_process(self.serve(answer), *COMMAND, *arguments) as process:
                self.assertEqual(process.stdout.read(10), b"Once upon\n")
                wait_until_it_waits(process)
                process.send_signal(signal.SIGTERM)
                other.close()  # which ends the lock
                self.assertEqual(process.wait(20), -signal.SIGTERM)
        self.assertEqual(self.messages(path)[1]["content"], "Once upon")

    @unittest.skipUnless(os.name == "posix", "needs a POSIX shell")
    def test_a_reader_that_leaves_loses_no_turn(self):
        path = os.path.join(self.folder, "talk.jsonl")
        left = threading.Event()
        more = framed(event(chunk(" upon\n" * 20000)))
        rest = [more] * 10 + [framed(event(END)) + framed(event("[DONE]")) + LAST]
        server = self.serve([SSE_HEAD + framed(event(ONCE)), left, *rest])
        arguments = ("--history", path, "hi")
        with start_process(server, *COMMAND, *arguments) as process:
            self.assertEqual(process.stdout.read(4), b"Once")
            process.stdout.close()
            left.set()
            self.assertEqual((process.stderr.read(), process.wait(20)), (b"", 0))
        _, answer = self.messages(path)
        self.assertEqual(answer["content"], "Once" + " upon\n" * 200000)

    @unittest.skipUnless(hasattr(os, "mkfifo"), "needs named pipes")
    def test_a_device_is_neither_read_for_ever_nor_replaced(self):
        pipe = os.path.join(self.folder, "pipe")
        os.mkfifo(pipe)
        for path in (pipe, "/dev/zero"):
            server = self.serve()
            outcome = run_process(server, *COMMAND, "--history", path, "hi")
            self.assertEqual((outcome.status, outcome.out), (2, ""))
            self.assert_one_line(outcome.err, path)
            self.assertEqual(server.connections, 0)

    @unittest.skipUnless(os.name == "posix", "needs POSIX permissions")
    def test_what_cannot_be_added_to_is_refused_before_anything_is_sent(self):
        readonly = self.file("readonly.jsonl", self.lines(YESTERDAY), 0o444)
        new = os.path.join(self.folder, "new.jsonl")
        missing = os.path.join(self.folder, "none", "talk.jsonl")

        def add(path, server):
            command, options = (*COMMAND, "--history", path, "hi"), {}
            options["preexec_fn"] = obey_permissions
            return run_process(server, *command, **options)

        def check(path):
            server = self.serve()
            ran = add(path, server)
            self.assertEqual((ran.status, ran.out), (2, ""), ran)
            self.assert_one_line(ran.err, os.path.basename(path))
            self.assertEqual(server.connections, 0)

        os.chmod(self.folder, 0o555)
        self.addCleanup(os.chmod, self.folder, 0o755)
        rows = [[readonly], [new], [missing], [self.folder]]
        self.side_by_side(check, rows)
        # A file that can be written needs no folder that can.
        os.chmod(readonly, 0o666)
        ran = add(readonly, self.serve(STREAM))
        self.assertEqual(ran.status, 0, ran)
        self.assertEqual(len(self.messages(readonly)), 4)

    @unittest.skipUnless(os.name == "posix", "needs a POSIX shell")
    def test_a_full_disk_is_status_1_and_said(self):
        path = self.history(YESTERDAY)
        before = self.read(path)
        limited = ("sh", "-c", 'ulimit -f 0; exec "$@"', "sh", *COMMAND)
        server = self.serve(STREAM)
        arguments = ("--history", path, "-m", "m", "hi")
        outcome = run_process(server, *limited, *arguments)
        self.assertEqual((outcome.status, outcome.out), (1, "Once upon\n"))
        self.assert_one_line(outcome.err, "--history: not saved: File too large")
        self.assertEqual(self.read(path), before)

    @unittest.skipUnless(os.path.exists("/dev/full"), "needs /dev/full")
    def test_a_full_disk_of_the_answer_does_not_keep_it_from_being_saved(self):
        path = os.path.join(self.folder, "talk.jsonl")
        shell = ("sh", "-c", 'exec "$@" >/dev/full', "sh", *COMMAND)
        arguments = ("--history", path, *WHOLE, "hi")
        outcome = run_process(self.serve(ANSWER), *shell, *arguments)
        self.assertEqual(outcome.status, 1)
        self.assertEqual(self.messages(path)[1]["content"], "Once upon")

    @unittest.skipUnless(os.name == "posix", "needs POSIX signals")
    def test_a_signal_that_ends_the_command_saves_what_had_arrived(self):
        def check(number):
            path = os.path.join(self.folder, "%d.jsonl" % number)
            server, arguments = self.serve(HELD), ("--history", path, "hi")
            # Under nohup, a process would ignore SIGHUP, and so would its children.
            handle = signal.default_int_handler if number == signal.SIGINT else 0
            begin = functools.partial(signal.signal, number, handle)
            with start_process(
                server, *COMMAND, *arguments, preexec_fn=begin
            ) as process:
                self.assertEqual(process.stdout.read(4), b"Once")
                wait_until_it_waits(process)
                process.send_signal(number)
                err = process.communicate(timeout=20)[1]
            self.assertEqual((process.returncode, err), (-number, b""))
            self.assertEqual(self.messages(path)[1]["content"], "Once")

        self.side_by_side(check, [[signal.SIGINT], [signal.SIGTERM], [signal.SIGHUP]])

    @unittest.skipUnless(pty, "needs POSIX locks")
    def test_a_file_that_another_program_guards_is_used_all_the_same(self):
        path = self.file("talk.jsonl", b"")
        with open(path, "ab") as guarded:
            fcntl.flock(guarded, fcntl.LOCK_EX)  # as flock(1) does around a command
            self.limit(LOCK_SECONDS=0.1)
            outcome = run_main(self.serve(STREAM), "--history", path, "hi")
        self.assertEqual((outcome.status, outcome.err), (0, ""))
        self.assertEqual(self.messages(path)[1]["content"], "Once upon")

    @unittest.skipUnless(os.name == "posix", "needs POSIX permissions")
    def test_a_dry_run_only_reads_the_file(self):
        path = self.file("talk.jsonl", self.lines(YESTERDAY), 0o444)
        command = (*COMMAND, "-n", "-m", "m", "--history", path, "hi")
        outcome = run_process(None, *command, preexec_fn=obey_permissions)
        self.assertEqual((outcome.status, outcome.err), (0, ""))


DRIVING = "x\x1b[2J\u202ey\u200b\ufeff\x07\x9b2J"
DRIVES = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\ufeff]")
DRIVING_USAGE = dict(chunk(), choices=[], usage={DRIVING: 3})
DRIVING_CALL = tool_call(0, "c1", DRIVING, "{}")
DRIVEN = (  # answer, arguments
    (http_answer(400, {"error": {"message": DRIVING, "code": DRIVING}}), ["hi"]),
    (sse(ONCE, {"error": {"message": DRIVING}}), ["hi"]),
    (sse(ONCE, END, DRIVING_USAGE, "[DONE]"), ["-u", "hi"]),
    (sse(chunk(tool_calls=[DRIVING_CALL]), END, "[DONE]"), ["hi"]),
    (streamed(refusal=DRIVING), ["hi"]),
    (STREAM, ["-a", DRIVING, "hi"]),
    (STREAM, ["--schema", DRIVING, "hi"]),
    (STREAM, ["--history", "none/" + DRIVING, "hi"]),
    (STREAM, ["--" + DRIVING, "hi"]),
    (STREAM, ["-o", "timeout=" + DRIVING, "hi"]),
    (streamed(None, DRIVING), ["hi"]),
    (STREAM, ["-o", DRIVING, "hi"]),
    (http_answer(404, {"error": "no " + DRIVING}), ["-m", DRIVING, "hi"]),
)


class CommandLineSafety(Test):
    def test_nothing_on_standard_error_drives_a_terminal(self):
        for answer, arguments in DRIVEN:
            with self.subTest(arguments=arguments):
                outcome = run_main(self.serve(answer), *arguments)
                self.assertIn("x", outcome.err)
                self.assertIsNone(DRIVES.search(outcome.err), outcome.err)

    def test_a_name_of_a_model_drives_no_terminal(self):
        server = self.serve(http_answer(200, {"data": [{"id": DRIVING}]}))
        outcome = run_main(server, "--models")
        self.assertEqual(outcome.status, 0)
        self.assertIsNone(DRIVES.search(outcome.out))
        path = self.file("talk.jsonl", b"")
        with open(path, "w") as file:
            json.dump(dict(assistant("b"), model=DRIVING), file)
        outcome = run_main(None, "-n", "--history", path, "-m", DRIVING * 2, "hi")
        self.assertEqual(outcome.status, 0)
        self.assertIn("x", outcome.err)
        self.assertIsNone(DRIVES.search(outcome.err))

    def test_to_a_pipe_the_characters_go_as_they_came(self):
        for way, answer in (
            ([], streamed(DRIVING)),
            (WHOLE, http_answer(200, completion(DRIVING))),
        ):
            outcome = run_main(self.serve(answer), "hi", *way)
            self.assertEqual(outcome, (0, DRIVING + "\n", ""))


CLOSED = ("<&-", ">&-", "2>&-", "<&- 2>&-", "<&- >&- 2>&-")
FULL = (">/dev/full", "2>/dev/full", ">/dev/full 2>/dev/full")
KEPT_OPEN = http_answer(400, "no")  # after which the connection would be used again


@unittest.skipUnless(os.name == "posix", "needs a POSIX shell")
class CommandLineDevelopmentMode(Test):
    def check_quiet(self, redirection, answer, *arguments):
        """At most one line, and none of Python's own."""
        shell = ("sh", "-c", 'exec "$@" ' + redirection, "sh")
        command = (sys.executable, "-X", "dev", "-m", "siraya_chat")
        ran = run_process(self.serve(answer), *shell, *command, *arguments)
        said = ran.out + ran.err
        for words in ("Traceback", "unclosed", "Warning", "Exception ignored"):
            self.assertNotIn(words, said)
        self.assertLessEqual(ran.err.count("\n"), 1, ran.err)
        return ran

    def test_closed_streams_cause_no_second_line(self):
        def check(redirection, answer):
            ran = self.check_quiet(redirection, answer, "hi")
            succeeds = answer is STREAM and ">&-" not in redirection.split()
            self.assertEqual(ran.status == 0, succeeds, ran)

        rows = itertools.product(CLOSED, (STREAM, KEPT_OPEN))
        self.side_by_side(check, [*rows])

    @unittest.skipUnless(os.path.exists("/dev/full"), "needs /dev/full")
    def test_a_full_disk_causes_no_second_line(self):
        def check(redirection, answer):
            ran = self.check_quiet(redirection, answer, "hi")
            succeeds = answer is STREAM and redirection == "2>/dev/full"
            self.assertEqual(ran.status == 0, succeeds, ran)

        rows = itertools.product(FULL, (STREAM, KEPT_OPEN))
        self.side_by_side(check, [*rows])

    @unittest.skipUnless(os.path.exists("/dev/full"), "needs /dev/full")
    def test_a_full_disk_of_errors_changes_no_status(self):
        for answer, arguments, status in (
            (STREAM, ["-u", "hi"], 0),
            (KEPT_OPEN, ["hi"], 1),
            (STREAM, ["--nonsense"], 2),
        ):
            ran = self.check_quiet("2>/dev/full", answer, *arguments)
            self.assertEqual(ran.status, status)

    def test_a_reader_of_errors_that_leaves_changes_no_status(self):
        with start_process(self.serve(KEPT_OPEN), *COMMAND, "hi") as process:
            process.stderr.close()
            self.assertEqual(process.wait(20), 1)

    def test_a_line_of_an_error_is_written_at_once(self):
        # Another program that writes to the same terminal would come between.
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        with ours, theirs:
            environment = own_environment(PYTHONUNBUFFERED="1")
            mistake = [*COMMAND, "--nonsense"]
            subprocess.call(mistake, stderr=theirs, env=environment)
            self.assertRegex(ours.recv(1000), rb"\A[^\n]+\n\Z")

    def test_an_answer_that_is_asked_for_as_a_whole_is_written_at_once(self):
        for arguments, answer in (
            (WHOLE, ANSWER),
            ([*WHOLE, "-j"], ANSWER),
            (["--schema", "{}"], streamed("Once upon")),
        ):
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
            with ours, theirs:
                environment = own_environment(self.serve(answer))
                command = [*COMMAND, *arguments, "hi"]
                with open(os.devnull, "r+b") as others:
                    streams = {"stdin": others, "stdout": theirs, "stderr": others}
                    subprocess.call(command, env=environment, **streams)
                self.assertRegex(ours.recv(1000), rb"Once upon[^\n]*\n\Z")

    def test_output_that_does_not_wait_is_waited_for(self):
        lines = ["%099d" % number for number in range(2800)]
        text = "".join(lines)
        for arguments, answer in (
            ([], sse(*map(chunk, lines), END, "[DONE]")),
            (WHOLE, http_answer(200, completion(text))),
        ):
            reader, writer = os.pipe()
            os.set_blocking(writer, False)
            command = (*COMMAND, *arguments, "hi")
            server = self.serve(answer)
            with start_process(server, *command, stdout=writer) as process:
                wait_until_it_waits(process)
                self.assertFalse(os.get_blocking(writer))  # the flag is others' too
                os.close(writer)
                with open(reader, encoding="utf-8") as file:
                    self.assertEqual(file.read(), text + "\n")
                self.assertEqual((process.wait(20), process.stderr.read()), (0, b""))

    def test_a_reader_that_leaves_causes_no_line(self):
        long = sse(*[chunk("x" * 1000)] * 500, END, "[DONE]")
        ran = self.check_quiet("| head -c 1", long, "hi")
        self.assertEqual((ran.out, ran.err), ("x", ""))


LOOP = 'for i in 1 2 3; do echo "turn $i"; "$0" "$@" hi; done; echo "not reached"'
ODD_ANSWERS = (  # none of which ends a conversation
    sse(
        chunk("a\ud83d"), END, dict(chunk(), choices=[], usage=[1, "\ud83d"]), "[DONE]"
    ),
    sse(chunk("b"), END, dict(chunk(), choices=[], usage={"\ud83d": 1}), "[DONE]"),
    sse(ONCE, {"error": {"message": "\ud83d"}}),
    sse('{"choices": [{"index": "x", "delta": 7}]}', "[DONE]"),
    streamed(refusal="\ud83d"),
    http_answer(400, "\udcff".encode("utf-8", "surrogatepass")),
    STREAM,
)


class CommandLineInPrograms(Test):
    def test_logger_and_warnings_of_a_program_are_afterwards_as_they_were(self):
        logger = logging.getLogger("siraya_chat")
        logged = io.StringIO()
        handler = logging.StreamHandler(logged)
        logger.addHandler(handler)
        self.addCleanup(logger.removeHandler, handler)
        before = logger.handlers[:], logger.level, logger.propagate
        show_warning = warnings.showwarning
        self.addCleanup(setattr, warnings, "showwarning", show_warning)
        os.environ.update(own_environment(self.serve(STREAM)))
        for arguments in (["-v", "hi"], ["-v", "--nonsense"], ["-v", "-a", "none.png"]):
            streams = dict.fromkeys(("stdin", "stdout", "stderr"), io.StringIO())
            with mock.patch.multiple(sys, **streams):
                siraya_chat.main(arguments)
            after = logger.handlers[:], logger.level, logger.propagate
            self.assertEqual(after, before)
            self.assertIs(warnings.showwarning, show_warning)

    def test_streams_that_a_program_put_in_their_place_are_used(self):
        for encoding in ("utf-8", "latin-1"):
            out = io.TextIOWrapper(io.BytesIO(), encoding)
            out.write("before ")
            server, no_name = self.serve(streamed(ACUTE)), {"PYTHONIOENCODING": ""}
            with mock.patch.dict(os.environ, own_environment(server, **no_name)):
                with mock.patch.multiple(sys, stdin=io.StringIO("hi"), stdout=out):
                    self.assertEqual(siraya_chat.main([]), 0)
            out.seek(0)
            self.assertEqual(out.read(), "before %s\n" % ACUTE)

    def test_streams_of_text_alone_and_none_at_all_are_streams_too(self):
        out, err = io.StringIO(), io.StringIO()
        os.environ.update(own_environment(self.serve()))
        with mock.patch.multiple(sys, stdin=None, stdout=out, stderr=err):
            self.assertEqual(siraya_chat.main(["-a", "none.png", "hi"]), 2)
            self.assertEqual(siraya_chat.main(["What is it?"]), 0)
        self.assertIn("text 11 characters", out.getvalue())
        self.assert_one_line(err.getvalue(), "none.png")


@unittest.skipUnless(pty, "needs pseudo-terminals")
class CommandLineConversations(Test):
    def test_nothing_that_an_answer_contains_ends_a_conversation(self):
        server = self.serve(*ODD_ANSWERS)
        path = os.path.join(self.folder, "talk.jsonl")
        turns = ["%d\n" % number for number, _ in enumerate(ODD_ANSWERS)]
        ran = converse(server, "-u", "--history", path, turns=turns)
        self.assertEqual(len(server.requests), len(ODD_ANSWERS))
        self.assertIn("Once upon", ran.shown)
        self.assertNotIn("Traceback", ran.shown)


@unittest.skipUnless(pty, "needs pseudo-terminals")
class CommandLineStatus(Test):
    def test_the_line_of_status_tells_of_a_retry_and_is_gone_when_text_comes(self):
        slow = http_answer(429, "slow", Retry_After="0.6")
        with Terminal(self.serve(slow, STREAM), "hi") as terminal:
            shown = terminal.expect(rb"connecting")
            shown += terminal.expect(rb"waiting")
            self.assertNotIn(b"sending", shown)
            terminal.expect(rb"429: retrying in 0.6 s \(1 of 2\)")
            status, data = terminal.end()
        self.assertEqual((status, screen(data)), (0, ["Once upon"]))

    def test_verbose_prints_lines_in_its_place(self):
        with Terminal(self.serve(STREAM), "-v", "hi") as terminal:
            status, data = terminal.end()
        *told, answer = screen(data)
        self.assertEqual((status, answer), (0, "Once upon"))
        self.assertTrue(all(line.startswith("siraya-chat: ") for line in told), told)
        self.assertNotIn("\x1b", data)

    @unittest.skipUnless(shutil.which("bash"), "needs bash")
    def test_control_c_stops_a_loop_of_the_shell(self):
        server = self.serve([SILENCE])
        command = ("bash", "-c", LOOP, *COMMAND)
        with Terminal(server, command=command) as terminal:
            terminal.expect(rb"waiting")
            terminal.type("\x03")
            status, data = terminal.end()
        self.assertEqual(status, -signal.SIGINT)
        self.assertNotIn("turn 2", data)
        self.assertNotIn("Traceback", data)
        self.assertNotIn("not reached", data)


# === readme ===========================================================================


README_FILES = {  # what the README's examples find in their folder
    "cat.png": PNG,
    "report.pdf": b"%PDF-1.4\n%%EOF\n",
    "question.wav": b"RIFF\x24\0\0\0WAVEfmt " + b"\0" * 28,
    "clip.mp4": b"\0\0\0\x18ftypmp42" + b"\0" * 40,
    "notes.txt": b"Buy bread.\n",
    "prompts.jsonl": b'{"prompt": "One?"}\n{"prompt": 2}\n{"prompt": "Three?"}\n' * 30,
    "messages.csv": b'id,text\n1,My parcel is late.\n2,"When, please?"\n',
    "company.pem": b"""\
-----BEGIN CERTIFICATE-----
MIIBezCCASGgAwIBAgIUBHxdbNXb5bv6muN0BpjjXp5hSIwwCgYIKoZIzj0EAwIw
EjEQMA4GA1UEAwwHY29tcGFueTAgFw0yNjExMjIyMTUxMDFaGA8yMTI2MTAyOTIx
NTEwMVowEjEQMA4GA1UEAwwHY29tcGFueTBZMBMGByqGSM49AgEGCCqGSM49AwEH
A0IABON3hWf/dAv5RWWDaOZwSglTzntn/EXRXONFFsoc3RSYwyr5XEYN06ilpqj1
1NhqNOoo6+MXfaTQERXy3Gw9PbOjUzBRMB0GA1UdDgQWBBSSK9wiCFzeFiWtlhzQ
rejSNwDP8DAfBgNVHSMEGDAWgBSSK9wiCFzeFiWtlhzQrejSNwDP8DAPBgNVHRMB
Af8EBTADAQH/MAoGCCqGSM49BAMCA0gAMEUCIQD3QJZfIyj9L8twoq2J9bCGccdu
/Voy0mWuNeit5fVifwIgFD7D45JFSy9W0y++jbpYrhHXwJBsqntUVeS34LF6M2w=
-----END CERTIFICATE-----
""",
}
# They need a network, or would run this test again.
NOT_RUN = r"pip install|pipx|uvx|git clone|-m unittest|\b(bench|serve)\b"
WITH_TESTS_OF_THEIR_OWN = r" demo |def run\(items"
RUN_BLOCKS = """\
import contextlib, io, json, os, sys
printed = []
for name, folder, code in json.load(sys.stdin):
    os.chdir(folder)
    with contextlib.redirect_stdout(io.StringIO()) as out:
        variables = {"__name__": "__main__"}
        exec(compile(code, name, "exec"), variables)
        variables.clear()  # as at the end of a program
    printed.append(out.getvalue())
json.dump(printed, sys.stdout)
"""
Block = collections.namedtuple("Block", "language line code output")


def readme_blocks(text):
    """The fenced blocks of a page, each with the output that stands behind it."""
    blocks = []
    fenced = r"(?ms)^```(\w*)\n(.*?)^```$(?:\n\n((?:^    [^\n]*\n)+))?"
    for found in re.finditer(fenced, text):
        line = text.count("\n", 0, found.start()) + 1
        output = re.sub("(?m)^    ", "", found.group(3) or "")
        blocks.append(Block(found.group(1), line, found.group(2), output))
    return blocks


class Readme(Test):
    def setUp(self):
        super().setUp()
        with open(os.path.join(HERE, "README.md"), encoding="utf-8") as file:
            self.text = file.read()

    def block_with(self, words):
        """The one block that has these words."""
        (block,) = [block for block in readme_blocks(self.text) if words in block.code]
        return block

    def run_block(self, server, block, folder=None):
        """The outcome of a block, in a copy of the examples' folder or in *folder*."""
        folder = folder or self.copy_of_examples("line %d" % block.line)
        shell = ("sh", "-e", "-c")
        if block.language == "python":
            shell = (sys.executable, "-c")
        return self.run_strictly(server, *shell, block.code, cwd=folder)

    def run_strictly(self, server, *command, **options):
        """The outcome of a process for which any warning is an error."""
        programs = os.path.join(self.folder, "bin")
        return run_process(
            server,
            *command,
            SIRAYA_MODEL="m",
            PYTHONWARNINGS="error",
            PYTHONDEVMODE="1",
            PATH=programs + os.pathsep + os.environ["PATH"],
            **options,
        )

    def assert_well(self, outcome):
        """A block ran to its end and caused no warning."""
        self.assertEqual(outcome.status, 0, outcome.err)
        self.assertNotIn("Traceback", outcome.err)
        self.assertNotIn("Warning", outcome.err)

    def make_examples(self):
        """Makes the folder of files that the examples find, and their programs."""
        for name, content in README_FILES.items():
            self.file("examples/" + name, content)
        batch = self.block_with("def run(items")
        self.file("examples/batch.py", batch.code.encode())
        folder = os.path.join(self.folder, "examples")
        shutil.copy(os.path.abspath(__file__), folder)
        module = shutil.copy2(MODULE, folder)
        compiled = importlib.util.cache_from_source(module)
        os.mkdir(os.path.dirname(compiled))
        shutil.copy(os.path.join(compiled_module(), "siraya_chat.pyc"), compiled)
        for name, start in (("python3", ""), ("siraya-chat", " -m siraya_chat")):
            program = '#!/bin/sh\nexec "%s"%s "$@"\n' % (sys.executable, start)
            self.file("bin/" + name, program.encode(), 0o755)

    def copy_of_examples(self, name):
        """A folder of their own for those that write files."""
        folder = os.path.join(self.folder, name)
        shutil.copytree(os.path.join(self.folder, "examples"), folder)
        return folder

    def blocks_to_run(self, language):
        blocks = []
        for block in readme_blocks(self.text):
            if block.language == language:
                if not re.search(NOT_RUN + "|" + WITH_TESTS_OF_THEIR_OWN, block.code):
                    blocks.append(block)
        return blocks

    def test_every_block_of_python_runs_as_it_stands(self):
        self.make_examples()
        blocks, rows = self.blocks_to_run("python"), []
        self.assertGreater(len(blocks), 12)
        for block in blocks:
            name = "README.md, line %d" % block.line
            rows.append((name, self.copy_of_examples(name), block.code))
        server = self.serve()
        command, given = (sys.executable, "-c", RUN_BLOCKS), json.dumps(rows).encode()
        outcome = self.run_strictly(server, *command, stdin=given, cwd=self.folder)
        self.assert_well(outcome)
        for block, printed in zip(blocks, json.loads(outcome.out)):
            with self.subTest("line %d" % block.line):
                prints = re.search(r"(?m)^\s*print\(|\.run\(|\brun\(", block.code)
                self.assertEqual(bool(printed), bool(prints))
                if block.output:
                    self.assertEqual(printed, block.output)
        sent = " ".join(received.body.decode() for received in server.requests)
        for kind in (
            "image_url",
            "file_data",
            "input_audio",
            "video_url",
            "json_schema",
            '"tool"',
        ):
            self.assertIn(kind, sent)

    @unittest.skipUnless(os.name == "posix", "needs a POSIX shell")
    def test_every_block_of_the_shell_runs_as_it_stands(self):
        self.make_examples()
        server = self.serve()

        def check(block):
            outcome = self.run_block(server, block)
            self.assert_well(outcome)
            self.assertEqual(bool(outcome.out), "python3" in block.code)

        blocks = self.blocks_to_run("sh")
        self.assertEqual(len(blocks), 2)
        self.side_by_side(check, [[block] for block in blocks])

    @unittest.skipUnless(os.name == "posix", "needs a POSIX shell")
    def test_the_output_that_is_shown_is_that_of_the_demo(self):
        self.make_examples()
        outcome = self.run_block(None, self.block_with(" demo "))
        self.assert_well(outcome)
        shown = "".join("    " + line for line in outcome.out.splitlines(True))
        shown += "".join("    " + line for line in outcome.err.splitlines(True))
        self.assertIn(shown, self.text)

    def test_the_stand_in_can_be_started_for_other_programs(self):
        command = (sys.executable, os.path.abspath(__file__), "serve")
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        try:
            words = process.stdout.readline().decode().split()
            self.assertEqual(words[0], "export")
            name, _, url = words[1].partition("=")
            self.assertEqual(name, "SIRAYA_BASE_URL")
            client = Client("", url, model="m", proxy="")
            self.assertIn("stand-in", client.complete("hi").text)
            self.assertEqual(client.models.list()[0].object, "model")
        finally:
            process.kill()
            process.communicate()

    def test_the_batch_goes_on_where_it_stopped(self):
        self.make_examples()
        folder = self.copy_of_examples("batch")
        path = os.path.join(folder, "answers.jsonl")
        block = self.block_with("def run(items")
        for kept in (0, 1500):  # bytes: nothing at first, then half a line at the end
            with self.subTest(kept=kept):
                server, left = self.serve(), 60
                if kept:
                    with open(path, "rb+") as file:
                        file.truncate(kept)
                        *whole, _ = file.read().split(b"\n")
                        left -= sum(b'"text"' in line for line in whole)
                    self.assertLess(left, 60)
                outcome = self.run_block(server, block, folder)
                self.assert_well(outcome)
                said = "\n60 answers and 30 errors in answers.jsonl\n"
                self.assertEqual(outcome.out, said)
                self.assertIn("\r90 of 90", outcome.err)
                self.assertEqual(len(server.requests), left)
                answers = self.answers_in(path)
                self.assertEqual(sorted(answers), list(range(90)))
                for number, answer in answers.items():
                    texts = ("text 4 characters", None, "text 6 characters")
                    if number % 3 == 1:
                        self.assertIn("TypeError", answer["error"])
                    else:
                        self.assertIn(texts[number % 3], answer["text"])

    def answers_in(self, path):
        with open(path, encoding="utf-8") as file:
            lines = [json.loads(line) for line in file]
        return {line["item"]: line for line in lines}  # the last one of each holds

    @unittest.skipUnless(os.name == "posix", "needs signals")
    def test_control_c_stops_asking_and_keeps_what_is_paid_for(self):
        self.make_examples()
        folder = self.copy_of_examples("stopped")
        go_on = threading.Event()
        self.addCleanup(go_on.set)
        prompts = b'{"prompt": "One?"}\n' * 90
        self.file("stopped/prompts.jsonl", prompts)
        server = self.serve([go_on, ANSWER])
        command = (sys.executable, "-c", self.block_with("def run(items").code)
        options = {"cwd": folder, "preexec_fn": default_interrupt, "SIRAYA_MODEL": "m"}
        with start_process(server, *command, **options) as process:
            self.assertTrue(server.wait(lambda: len(server.requests) == 16))
            wait_until_it_waits(process)
            process.send_signal(signal.SIGINT)
            said = process.stderr.readline() + process.stderr.readline()
            # The last one may not be counted yet.
            self.assertRegex(said, rb"\nwaiting for 1[56] calls; Ctrl-C again")
            go_on.set()
            out, err = process.communicate(timeout=30)
        self.assertEqual(process.returncode, 1, err)  # for the shell: not all is done
        self.assertIn(b"16 answers and 0 errors in answers.jsonl Ctrl-C", out)
        self.assertEqual(len(server.requests), 16)
        answers = self.answers_in(os.path.join(folder, "answers.jsonl"))
        texts = [answer["text"] for answer in answers.values()]
        self.assertEqual(texts, ["Once upon"] * 16)

    @unittest.skipUnless(os.name == "posix", "needs signals")
    def test_a_second_control_c_leaves_at_once(self):
        self.make_examples()
        folder = self.copy_of_examples("left")
        server = self.serve([SILENCE])
        command = (sys.executable, "-c", self.block_with("def run(items").code)
        options = {"cwd": folder, "preexec_fn": default_interrupt, "SIRAYA_MODEL": "m"}
        with start_process(server, *command, **options) as process:
            self.assertTrue(server.wait(lambda: len(server.requests) == 16))
            wait_until_it_waits(process)
            process.send_signal(signal.SIGINT)
            process.stderr.readline()
            process.stderr.readline()
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=30)
        self.assertEqual(process.returncode, -signal.SIGINT)

    def test_an_error_that_would_hit_every_prompt_ends_the_batch(self):
        self.make_examples()
        server = self.serve(ANSWER, http_answer(401, REFUSAL))
        outcome = self.run_block(server, self.block_with("def run(items"))
        self.assertEqual(outcome.status, 1)
        self.assertIn("AuthenticationError", outcome.out)
        self.assertLess(len(server.requests), 20)

    def test_a_table_gets_a_label_for_each_row(self):
        self.make_examples()
        folder = self.copy_of_examples("labels")
        answers = [
            http_answer(200, completion('{"label": "%s"}' % label))
            for label in ("question", "nonsense")
        ]

        def label(received):
            return answers["When" in received.json["messages"][0]["content"]]

        block = self.block_with("LABELS = [")
        self.assert_well(self.run_block(self.serve(label), block, folder))
        with open(os.path.join(folder, "labelled.csv"), encoding="utf-8") as file:
            first, second, third = file.read().splitlines()
        self.assertEqual(first, "id,text,label,error")
        self.assertEqual(second, "1,My parcel is late.,question,")
        self.assertTrue(
            third.startswith('2,"When, please?",,ValueError: no such label')
        )

    def test_the_loop_over_functions_has_an_end(self):
        self.make_examples()
        call = tool_call(0, "call_1", "weather", '{"city": "Taipei"}')
        answer = http_answer(200, completion(None, "tool_calls", tool_calls=[call]))
        server = self.serve(answer)
        outcome = self.run_block(server, self.block_with("def tool_of("))
        self.assertIn("RuntimeError: no answer after 8 rounds", outcome.err)
        self.assertEqual(len(server.requests), 8)
        result = server.requests[1].json["messages"][-1]
        self.assertEqual(json.loads(result["content"])["city"], "Taipei")
        weather, distance = server.requests[0].json["tools"]
        self.assertEqual(weather["function"]["description"], "The weather in a city.")
        schema = distance["function"]["parameters"]
        self.assertEqual(schema["required"], ["start", "end"])
        self.assertEqual(schema["properties"]["in_miles"], {"type": "boolean"})

    def test_a_function_that_fails_gives_its_error_as_the_result(self):
        self.make_examples()
        call = tool_call(0, "call_1", "weather", '{"town": "Taipei"}')
        called = http_answer(200, completion(None, "tool_calls", tool_calls=[call]))
        server = self.serve(called, ANSWER)
        self.assert_well(self.run_block(server, self.block_with("def tool_of(")))
        result = server.requests[1].json["messages"][-1]["content"]
        self.assertIn("TypeError", result)

    def test_the_browsers_page_gets_the_answer_and_what_cut_it_off(self):
        import wsgiref.util
        import wsgiref.validate

        names = {}
        cut_off = sse(chunk("Once"))
        server = self.serve(describe, cut_off, http_answer(401, "no"))
        with mock.patch.dict(os.environ, own_environment(server, SIRAYA_MODEL="m")):
            exec(self.block_with("def application(").code, names)
        application = wsgiref.validate.validator(names["application"])
        for path, words in (
            ("/", "<!doctype html>"),
            ("/chat", "text 4 characters"),
            ("/chat", "Once\n[the stream ended after"),
            ("/chat", "HTTP 401"),
        ):
            with self.subTest(words):
                said = json.dumps([user("One?")]).encode()
                environ = {"SCRIPT_NAME": "", "PATH_INFO": path, "QUERY_STRING": ""}
                environ["wsgi.input"] = io.BytesIO(said)
                environ["REQUEST_METHOD"] = "POST" if path == "/chat" else "GET"
                environ["CONTENT_LENGTH"] = str(len(said))
                wsgiref.util.setup_testing_defaults(environ)
                statuses = []

                def start_response(status, headers, statuses=statuses):
                    statuses.append(status)

                answer = application(environ, start_response)
                text = b"".join(answer).decode()
                answer.close()
                self.assertEqual(statuses, ["200 OK"])
                self.assertIn(words, text)
        names["client"].close()

    def test_no_block_is_of_a_kind_that_is_not_run(self):
        languages = {block.language for block in readme_blocks(self.text)}
        self.assertEqual(languages, {"python", "sh"})

    def test_links_within_the_page_lead_to_a_heading(self):
        prose = re.sub(r"(?ms)^```.*?^```$", "", self.text)
        headings = set()
        for heading in re.findall(r"(?m)^#+ (.*)$", prose):
            words = re.sub(r"[^\w -]", "", heading).lower()
            headings.add(words.replace(" ", "-"))
        links = set(re.findall(r"\]\(#([^)]*)\)", self.text))
        self.assertTrue(links)
        self.assertLessEqual(links, headings)

    def test_every_error_is_named(self):
        for error in ERRORS:
            self.assertIn("`%s`" % error.__name__, self.text)

    def test_every_option_is_named(self):
        for spellings in OPTIONS:
            self.assertIn("`" + spellings.split()[0], self.text)


# === fuzzing ==========================================================================


# Each function takes a source of chance, a random.Random, and makes so many inputs.

# fmt: off
PIECES = [  # of event streams
    b"data", b"data:", b"data: ", b"event", b"event: ", b"id", b"id: ", b"retry",
    b"retry: ", b":", b" ", b"\n", b"\r", b"\r\n", b"\n\n", b"\r\n\r\n", BOM,
    b"\xef", b"\xbb", b"\xbf", b"\0", b"0", b"42", b"x", b"\xe2\x80\xa8",
    b"\xc2\x85", b"\xe2\x82", b"\xf0\x9f\x98\x80", b"\xed\xa0\x80", b"\xff",
    b"\xc0\xaf", b"\x0b", b"\x0c", b"\xd9\xa1", b"[DONE]",
]
NAMES = """
    choices delta index content tool_calls function name arguments id type role logprobs
    finish_reason message usage object reasoning reasoning_details refusal error
    __class__ items odd
    """.split()  # of fields in JSON
ODD = [  # values in JSON
    None, True, False, 0, 1, -1, 1.5, 10**30,
    "", "x", "\ud83d", "\ude00", "\u00e9", "tool", {}, [],
]
TOKENS = [  # that are put into an answer
    b"\r\n", b"\n", b"\r\n\r\n", b"\0", b"\xff", b"-1", b"ffffffffffffffff",
    b"0\r\n\r\n", b"[DONE]", b"data: ", b"data: [DONE]\n\n",
    b'data: {"choices":5}\n\n', b'data: {"error":"boo"}\n\n', b"event: error\n",
    b"Content-Length: -1\r\n", b"Content-Length: 5\r\n",
    b"Content-Length: 99999999999\r\n", b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip\r\n", b"Content-Encoding: gzip\r\n",
    b"Content-Encoding: deflate\r\n", b"Content-Encoding: br\r\n",
    b"Connection: close\r\n", b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\n\r\n", b"HTTP/1.1 99999 X\r\n",
    b"HTTP/9.9 200 OK\r\n", b"Content-Type: text/event-stream\r\n",
    b"Content-Type: application/json\r\n", b"[" * 3000, b"NaN", b'"\\ud800"', BOM,
    b"Content-Type: text/html; charset=\xff\r\n",
]
STATUSES_WITHOUT_ANSWER = [
    204, 302, 400, 401, 402, 403, 404, 408, 409, 418, 429, 500, 503, 599,
]
# fmt: on


def noise(chance, most):
    return bytes(chance.randrange(256) for _ in range(chance.randrange(most)))


def some_pieces(chance, most):
    return b"".join(chance.choice(PIECES) for _ in range(chance.randrange(most)))


def cut_up(chance, data):
    places = [chance.randrange(len(data) + 1) for _ in range(chance.randrange(8))]
    places = [0, *sorted(places), len(data)]
    return [data[start:end] for start, end in zip(places, places[1:])]


def fuzz_parser(chance, count):
    """The parser against the literal transcription, on streams of the format's own
    pieces, cut anywhere."""
    for _ in range(count):
        data = some_pieces(chance, 40)
        if chance.random() < 0.5:
            data += noise(chance, 5) + b"\n\n"
        pieces = cut_up(chance, data)
        found, wanted = parsed(*pieces), literal_events(data)
        assert found == wanted, "%r gave %r and not %r" % (pieces, found, wanted)
    return count


def any_json(chance, depth=4):
    """Any JSON value, often one that the format knows."""
    kind = chance.randrange(10 if depth else 7)
    if kind < 7:
        return copy.copy(chance.choice(ODD))
    if kind == 7:
        return [any_json(chance, depth - 1) for _ in range(chance.randrange(4))]
    value = {}
    for _ in range(chance.randrange(6)):
        value[chance.choice(NAMES)] = any_json(chance, depth - 1)
    return value


def changed(chance, value, rate=0.08):
    """A copy of a JSON value in which some values, at any depth, are others."""
    if chance.random() < rate:
        return any_json(chance)
    if isinstance(value, list):
        return [changed(chance, item, rate) for item in value]
    if not isinstance(value, dict):
        return value
    copied = {}
    for key, item in value.items():
        if chance.random() > rate / 4:
            copied[key] = changed(chance, item, rate)
    return copied


def some_chunk(chance):
    delta = {name: any_json(chance) for name in NAMES if chance.random() < 0.1}
    text = chance.choice([None, "", "word ", "\u20ac"])
    reason = chance.choice([None, None, "stop"])
    calls = [tool_call(chance.randrange(2), "c1", "f", "{", type="function")]
    data = chunk(text, reason, chance.randrange(3), tool_calls=calls)
    data["choices"][0]["delta"].update(delta)
    return changed(chance, data, chance.choice([0, 0.05, 0.3]))


def is_chunk(data):
    """Whether a stream takes this for a chunk; what it refuses never comes to be put
    together."""
    if not isinstance(data, dict) or data.get("error"):
        return False
    choices = data.get("choices")
    if choices is None:
        return True
    return isinstance(choices, list) and all(
        isinstance(choice, dict) and isinstance(choice.get("delta"), (dict, type(None)))
        for choice in choices
    )


def check_completion(answer):
    """It can be written as JSON, copied and pickled; short ways keep their types."""
    assert isinstance(answer, Completion)
    json.dumps(answer)
    pickle.loads(pickle.dumps(answer))
    copy.deepcopy(answer)
    assert isinstance(answer.text, str), "text"
    assert isinstance(answer.tool_calls, list), "tool_calls"
    with contextlib.suppress(ResponseError):
        answer.json()


def fuzz_assembler(chance, count):
    """Any chunks make an answer, and nothing raises."""
    for _ in range(count):
        chunks = [some_chunk(chance) for _ in range(chance.randrange(8))]
        chunks = [chunk(""), *filter(is_chunk, chunks)]  # without a choice is no answer
        try:
            made = assembled(*chunks)
            check_completion(made)
            assert json.loads(json.dumps(made)) == made, "no plain JSON"
        except StreamError as error:
            if not error.message.startswith("the service reported:"):
                raise AssertionError("from the chunks " + json.dumps(chunks)) from error
        except Exception as error:
            said = "%r from the chunks %s" % (error, json.dumps(chunks))
            raise AssertionError(said) from error
    return count


def some_answer(chance):
    """An answer that is right, nearly right, or nothing of the kind."""
    kind = chance.randrange(10)
    if kind == 0:
        return noise(chance, 300)
    if kind == 1:
        return sse(chunked=False) + some_pieces(chance, 60)
    if kind < 5:
        data = some_stream(chance)
    elif kind < 8:
        data = some_whole_answer(chance)
    else:
        status = chance.choice(STATUSES_WITHOUT_ANSWER)
        pause = chance.choice(["0", "x", "-1", "99999"])
        data = http_answer(status, json.dumps(any_json(chance)), Retry_After=pause)
    for _ in range(chance.choice([0, 1, 1, 2, 5])):
        data = damaged(chance, data)
    return data


def some_stream(chance):
    calls = [tool_call(0, "c1", "f", "{}", type="function")]
    chunks = [
        chunk("Hel", role="assistant"),
        chunk("lo", tool_calls=calls),
        chunk(None, "stop"),
    ]
    rate = chance.choice([0, 0.05, 0.2])
    events = [json.dumps(changed(chance, data, rate)) for data in chunks]
    if chance.random() < 0.5:
        events.append("[DONE]")
    return sse(*events, chunked=chance.random() < 0.7)


def some_whole_answer(chance):
    answer = changed(chance, completion("Hello", tool_calls=[CALL]), 0.05)
    body = json.dumps(answer).encode()
    if chance.random() < 0.3:
        return json_answer(gzip.compress(body, 1), Content_Encoding="gzip")
    return json_answer(body)


def damaged(chance, data):
    """The bytes with a part of them gone, doubled, cut off or replaced."""
    start = chance.randrange(len(data) + 1)
    end = min(len(data), start + chance.choice([0, 1, 1, 5, 100]))
    return chance.choice(
        [
            data[:start] + data[end:],
            data[:end] + data[start:],
            data[:start] + chance.choice(TOKENS) + data[end:],
            data[:start],
            data[:start] + noise(chance, 20) + data[end:],
        ]
    )


def fuzz_client(chance, count):
    """The client against any bytes: an answer or a SirayaError, in time, and what had
    arrived is plain JSON."""
    steps = []
    limits = {"timeout": 0.25, "connect_timeout": 5, "max_retries": 0}
    gc.collect()  # what others have left behind
    with contextlib.ExitStack() as stack:
        warned = stack.enter_context(warnings.catch_warnings(record=True))
        warnings.simplefilter("always")
        server = stack.enter_context(StandIn(lambda received: steps))
        client = stack.enter_context(Client(KEY, server.base_url, **limits))
        for _ in range(count):
            data = some_answer(chance)
            end = SILENCE if chance.random() < 0.02 else CLOSE
            steps[:] = [*cut_up(chance, data), end]
            started = time.monotonic()
            try:
                fuzz_call(client, chance.random() < 0.6)
            except Exception as error:
                said = "%r from the bytes %r" % (error, data)
                raise AssertionError(said) from error
            # Each piece may take a while to come; far more than all of them would is a
            # client that hangs.
            seconds = time.monotonic() - started
            assert seconds < 20, "it took %.1f s for %r" % (seconds, data)
        client.close()
        gc.collect()
    assert not warned, "left behind: %s" % warned[0].message
    return count


def fuzz_call(client, streamed):
    """One call; its answer, or what is left of it, is looked at in every way that a
    user would."""
    try:
        if streamed:
            with client.stream("Hi", "m") as stream:
                for data in stream:
                    assert isinstance(data, JSONObject)
                answer = stream.get_final_completion()
        else:
            answer = client.complete("Hi", "m")
    except SirayaError as error:
        said = str(error)
        assert not CONTROL.search(said), "the message %r" % said
        assert len(said) <= LONGEST, "the message %r" % said
        assert type(pickle.loads(pickle.dumps(error))) is type(error)
        answer = getattr(error, "partial", Completion())
    check_completion(answer)


def fuzz(seconds, seed=None):
    """All three until the time is over.  A round that failed is repeated by its seed,
    which is printed first."""
    if seed is None:
        seed = random.randrange(10**9)
    end = time.monotonic() + float(seconds)
    counts = {fuzz_parser: 400, fuzz_assembler: 150, fuzz_client: 60}  # of a round
    tried = dict.fromkeys(counts, 0)
    print("seed %d" % seed, flush=True)
    try:
        while time.monotonic() < end:
            for function, count in counts.items():
                tried[function] += function(random.Random(seed), count)
            seed += 1
    except AssertionError:
        print("FAILED in the round of seed %d" % seed)
        raise
    finally:
        for function, count in tried.items():
            print("%s: %d inputs" % (function.__name__, count))
        print("last seed %d" % seed, flush=True)


class Fuzzing(Test):
    def test_a_short_fuzzing_of_the_parser_finds_nothing(self):
        fuzz_parser(random.Random(9), 1500)

    def test_a_short_fuzzing_of_the_assembler_finds_nothing(self):
        fuzz_assembler(random.Random(9), 150)

    def test_a_short_fuzzing_of_the_client_finds_nothing(self):
        fuzz_client(random.Random(9), 100)


# === bench ============================================================================


BENCH_WORK = """\
import sys
sys.path.insert(0, sys.argv[1])
base, work, amount, path = sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5]
import json, os, time
URL = base + "/chat/completions"
HEADERS = {"Authorization": "Bearer k", "Content-Type": "application/json"}
def body(content="hi", **params):
    return dict(params, model="m", messages=[{"role": "user", "content": content}])
def encoded():
    import base64
    with open(path, "rb") as file:
        url = "data:video/mp4;base64," + base64.b64encode(file.read()).decode()
    return [{"type": "video_url", "video_url": {"url": url}}]
def text(data):
    return json.loads(data)["choices"][0]["delta"].get("content")
def texts(lines):
    return (text(line[6:]) for line in lines if line.startswith(b"data: {"))
def peak():
    try:
        with open("/proc/self/status") as status:
            for line in status:
                if line.startswith("VmHWM"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    import resource  # not on Linux: there, what the parent had used would count
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
def installed():  # megabytes of the packages that are imported, without bytecode
    files = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    roots, ours = set(), os.path.abspath(sys.argv[1])
    for file in filter(None, files):
        folder, found, rest = file.rpartition("site-packages" + os.sep)
        if found:
            roots.add(folder + found + rest.split(os.sep)[0])
        elif os.path.dirname(os.path.abspath(file)) == ours:
            roots.add(file)
    size = sum(map(os.path.getsize, filter(os.path.isfile, roots)))
    for root in filter(os.path.isdir, roots):
        for folder, _, names in os.walk(root):
            kept = [name for name in names if not name.endswith(".pyc")]
            size += sum(os.path.getsize(os.path.join(folder, name)) for name in kept)
    return size / 1e6
%s
if work == "size":
    print(installed())
    sys.exit()
if work == "cut off":
    noticed = 0
    for _ in range(amount):
        try:
            list(pieces())
        except Exception:
            noticed += 1
    print(noticed)
    sys.exit()
once()
if work == "memory":
    before = peak()
    upload()
    print((peak() - before) / os.path.getsize(path))
else:
    count, start = 0, time.perf_counter()
    if work == "events":
        for piece in pieces():
            if piece:
                count += 1
    else:
        while count < amount:
            once()
            count += 1
    assert count == amount, count
    print(count / (time.perf_counter() - start))
"""
BENCH_CLIENTS = {  # the modules that it needs; once(), pieces() and upload() with it
    "siraya_chat": (
        ["siraya_chat"],
        """
import siraya_chat
client = siraya_chat.Client("k", base, model="m")
def once(): client.complete("hi")
def pieces(): return (chunk.choices[0].delta.content for chunk in client.stream("hi"))
def upload(): client.complete([siraya_chat.user(siraya_chat.video(path))])
""",
    ),
    "plain urllib": (
        ["urllib.request", "json"],
        """
import urllib.request
def post(body):
    request = urllib.request.Request(URL, json.dumps(body).encode(), HEADERS)
    return urllib.request.urlopen(request)
def once(): json.loads(post(body()).read())
def pieces(): return texts(post(body(stream=True)))
def upload(): json.loads(post(body(encoded())).read())
""",
    ),
    "openai": (
        ["openai"],
        """
import openai
create = openai.OpenAI(api_key="k", base_url=base).chat.completions.create
def once(): create(**body())
def pieces():
    return (chunk.choices[0].delta.content for chunk in create(**body(stream=True)))
def upload(): create(**body(encoded()))
""",
    ),
    "httpx with httpx-sse": (
        ["httpx", "httpx_sse"],
        """
import httpx, httpx_sse
client = httpx.Client(headers=HEADERS)
def once(): client.post(URL, json=body()).json()
def pieces():
    with httpx_sse.connect_sse(client, "POST", URL, json=body(stream=True)) as source:
        for event in source.iter_sse():
            if event.data != "[DONE]":
                yield text(event.data)
def upload(): client.post(URL, json=body(encoded())).json()
""",
    ),
    "requests": (
        ["requests"],
        """
import requests
client = requests.Session()
client.headers.update(HEADERS)
def once(): client.post(URL, json=body()).json()
def pieces():
    answer = client.post(URL, json=body(stream=True), stream=True)
    return texts(answer.iter_lines(65536))
def upload(): client.post(URL, json=body(encoded())).json()
""",
    ),
}
BENCH_COLUMNS = (  # what is measured, its heading, form
    ("start", "import, ms (less is better)", "%.0f"),
    ("size", "size, MB (less is better)", "%.1f"),
    ("cut off", "cut-off streams that raise an error, of 7", "%d"),
    ("events", "events a second (more is better)", "%.0f"),
    ("calls", "calls a second (more is better)", "%.0f"),
    ("memory", "memory of an upload, times the file (less is better)", "%.1f"),
)
# The ways to cut off a stream after "Once": a clean end without [DONE] and
# finish_reason, in chunked coding and by closing; a connection that is closed within a
# chunked body; a reset; fewer bytes than Content-Length; an end in the middle of an
# event; an error event.
ONCE_ALONE = SSE_HEAD + framed(event(chunk("Once")))
CUT_OFF_WAYS = (
    [sse(chunk("Once"))],
    [sse(chunk("Once"), chunked=False), CLOSE],
    [ONCE_ALONE, CLOSE],
    [ONCE_ALONE, 0.05, RESET],
    [
        http_answer(
            200,
            event(chunk("Once")),
            Content_Type="text/event-stream",
            Content_Length=9999,
        ),
        CLOSE,
    ],
    [sse(chunk("Once"), event(chunk("upon"))[:40])],
    [sse(chunk("Once"), {"error": {"message": "overloaded"}})],
)


def serve_bench(events):
    """Answers for ever, with a stream of so many events or with a whole answer, and
    tells its port."""

    def piece(text=None, reason=None, **delta):
        data = chunk(text, reason, **delta)
        data["choices"][0]["logprobs"] = None
        return event(data)

    whole = http_answer(200, completion("42"))
    first, last = piece("", role="assistant"), piece(reason="stop")
    stream = sse(first, *[piece(" upon")] * events, last, "[DONE]")

    def answer(received):
        streamed = b'"stream":true' in received.body.replace(b" ", b"")
        return stream if streamed else whole

    with StandIn(answer, keep=1 << 20) as server:
        print(server.port, flush=True)
        threading.Event().wait()


def installed_clients():
    """Those of `BENCH_CLIENTS` whose modules can be found."""
    clients = {}
    for name, (modules, code) in BENCH_CLIENTS.items():
        packages = [module.partition(".")[0] for module in modules]
        if all(map(importlib.util.find_spec, packages)):
            clients[name] = (modules, code)
    return clients


def bench(rounds=5, events=20000, calls=300, upload_bytes=32 << 20):
    """Prints a table: siraya_chat beside the clients that are installed, medians of
    rounds in which they take turns."""
    clients = installed_clients()
    figures = {}  # of each client, of each column: a number a round
    for name in clients:
        figures[name] = {column: [] for column, *_ in BENCH_COLUMNS}
    amounts = {"events": events, "calls": calls, "memory": 1, "size": 1}
    environment = {}
    for name, value in os.environ.items():
        if not name.lower().endswith("_proxy") and name != "PYTHONDONTWRITEBYTECODE":
            environment[name] = value

    def run(*arguments):
        command = (sys.executable, *arguments)
        return subprocess.check_output(command, env=environment)

    def seconds(code):
        start = time.perf_counter()
        run("-c", code)
        return time.perf_counter() - start

    with tempfile.TemporaryDirectory() as folder:
        # A copy, so that its bytecode is kept there, as that of what is installed is.
        shutil.copy(MODULE, folder)
        environment["PYTHONPATH"] = folder
        path = os.path.join(folder, "clip.mp4")
        with open(path, "wb") as file:
            file.write(b"\0\0\0\x18ftypmp42" + b"\1" * upload_bytes)
        serve = "import test_siraya_chat as tests; tests.serve_bench(%d)" % events
        server = subprocess.Popen(
            [sys.executable, "-c", serve],
            env=dict(environment, PYTHONPATH=os.pathsep.join((HERE, folder))),
            stdout=subprocess.PIPE,
        )

        def measure(code, base, work, amount):
            arguments = (folder, base, work, str(amount), path)
            return float(run("-c", BENCH_WORK % code, *arguments))

        try:
            base = "http://127.0.0.1:%d/v1" % int(server.stdout.readline())
            for _ in range(rounds):
                for name, (modules, code) in clients.items():
                    bare = min(seconds("pass"), seconds("pass"))
                    start = seconds("import " + ", ".join(modules)) - bare
                    figures[name]["start"].append(max(0.1, start * 1000))
                    for work, amount in amounts.items():
                        figures[name][work].append(measure(code, base, work, amount))
        finally:
            server.kill()
            server.communicate()
        for name, (_, code) in clients.items():
            with StandIn(*CUT_OFF_WAYS) as cutting:
                ways = len(CUT_OFF_WAYS)
                noticed = measure(code, cutting.base_url, "cut off", ways)
            figures[name]["cut off"].append(noticed)
    print_bench(figures)
    return 0


def print_bench(figures):
    """Prints the medians as a table of Markdown, a client a line."""
    rows = [["", *[heading for _, heading, _ in BENCH_COLUMNS]]]
    rows.append(["---"] * len(rows[0]))
    for name in figures:
        cells = [
            form % statistics.median(figures[name][column])
            for column, _, form in BENCH_COLUMNS
        ]
        rows.append([name, *cells])
    for row in rows:
        print("| %s |" % " | ".join(row))


class Bench(Test):
    def test_a_small_bench_prints_a_line_for_each_client(self):
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            status = bench(rounds=1, events=20, calls=2, upload_bytes=1 << 20)
        self.assertEqual(status, 0)
        for name in ("siraya_chat", "plain urllib"):
            self.assertRegex(out.getvalue(), r"(?m)^\| %s( \| [\d.]+){6} \|$" % name)
        ours = re.search(r"\| siraya_chat .*", out.getvalue()).group()
        self.assertEqual(ours.split(" | ")[3], "7")  # all cut-off streams are noticed


# === two processes ====================================================================


# These wait for other processes and for time, or compute for long: they run in a
# process of their own, beside the others, so that all together take half as long.
ELSEWHERE = (
    Bench,
    CommandLineChat,
    CommandLineDevelopmentMode,
    CommandLineProcesses,
    CommandLineTerminals,
    Costs,
    Readme,
    TimeLimits,
)


class TwoProcesses(unittest.TestSuite):
    """Tests of this process, and the names of others that another process runs."""

    def __init__(self, here, elsewhere):
        super().__init__(here)
        self.elsewhere = elsewhere

    def run(self, result, debug=False):
        code = "import sys, test_siraya_chat as t; t.run_elsewhere(*sys.argv[1:])"
        flags = ["-W" + option for option in sys.warnoptions]
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "outcome")
            command = (sys.executable, *flags, "-c", code, path, *self.elsewhere)
            with subprocess.Popen(command, cwd=HERE):
                super().run(result, debug)
            with open(path, "rb") as file:
                outcome = pickle.load(file)
        result.testsRun += outcome.pop("testsRun")
        for name, told in outcome.items():
            for test, text in told:
                case = unittest.FunctionTestCase(self.run, description=test)
                getattr(result, name).append((case, text))
        return result


def run_elsewhere(path, *names):
    """Runs these tests and writes to a file what came of them."""
    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromNames(names).run(result)
    outcome = {"testsRun": result.testsRun}
    for name in ("errors", "failures", "skipped"):
        outcome[name] = [(str(test), text) for test, text in getattr(result, name)]
    with open(path, "wb") as file:
        pickle.dump(outcome, file)


def load_tests(loader, tests, pattern):
    """All tests, as unittest asks for them; a few are left in one process."""
    here, elsewhere = [], []
    for suite in tests:
        if any(isinstance(test, ELSEWHERE) for test in suite):
            elsewhere += [test.id() for test in suite]
        else:
            here.append(suite)
    if sum(suite.countTestCases() for suite in here) < 100 or not elsewhere:
        return tests
    return TwoProcesses(here, elsewhere)


# === entry points =====================================================================


def demo(arguments):
    """The real command line, against a stand-in that streams as a service does."""
    with StandIn(functools.partial(describe, pause=0.02)) as server:
        os.environ["SIRAYA_API_KEY"] = KEY
        os.environ["SIRAYA_BASE_URL"] = server.base_url
        os.environ.pop("SIRAYA_MODEL", None)
        return siraya_chat.main(arguments)


def serve(port=0):
    """The stand-in of the demo, for any program, until Ctrl-C."""
    with StandIn(functools.partial(describe, pause=0.02), port=port) as server:
        print("export SIRAYA_BASE_URL=%s" % server.base_url)
        print("export SIRAYA_MODEL=%s" % siraya_chat.DEFAULT_MODEL, flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()
    return 0


def run_entry_point(name, *arguments):
    """What `python3 test_siraya_chat.py NAME …` does; the exit status."""
    if name == "demo":
        return demo(list(arguments))
    if name == "serve" and all(map(str.isdigit, arguments)):
        return serve(*map(int, arguments))
    if name == "fuzz":
        return fuzz(*map(float, arguments))
    if name == "bench":
        return bench()
    print(__doc__.partition("\n\nThe sections")[0])
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in (
        "demo",
        "serve",
        "fuzz",
        "bench",
        "--help",
        "-h",
    ):
        sys.exit(run_entry_point(*sys.argv[1:]))
    unittest.main()
