"""The server's surface as a stranger sees it: every message and method comes from server reflection.

Nothing here is generated from the project's .proto files, and nothing names a field number. Requests are written as plain
dictionaries in the JSON mapping of protobuf, answers are protobuf messages made from the reflected descriptors.
"""

import queue
import uuid

import grpc
from google.protobuf import descriptor_pool, json_format, message_factory
from google.rpc import error_details_pb2
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_status import rpc_status

SERVER_TIME = "tillside-server-time-us"

# What a till should set; explained in server/POS-VENDORS.md.
CHANNEL_OPTIONS = [
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.max_receive_message_length", 4 * 1024 * 1024),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 5_000),
]

# No call of the tour may hang: one that takes this long has failed.
DEADLINE_S = 10.0


class Refused(Exception):
    """A call that ended with an error status, with the details of google.rpc.Status taken apart."""

    def __init__(self, error):
        super().__init__(f"{error.code().name}: {error.details()}")
        self.code = error.code()
        self.message = error.details() or ""
        self.reason = self.domain = None
        self.fields = {}
        self.retry_delay_s = None
        self.server_time_us = server_time(error.trailing_metadata())
        status = rpc_status.from_call(error)
        for detail in status.details if status else ():
            for kind in (error_details_pb2.ErrorInfo, error_details_pb2.BadRequest, error_details_pb2.RetryInfo):
                if detail.Is(kind.DESCRIPTOR):
                    self._take(unpack(detail, kind()))

    def _take(self, detail):
        if isinstance(detail, error_details_pb2.ErrorInfo):
            self.reason, self.domain = detail.reason, detail.domain
        elif isinstance(detail, error_details_pb2.BadRequest):
            self.fields = {violation.field: violation.description for violation in detail.field_violations}
        else:
            self.retry_delay_s = detail.retry_delay.seconds + detail.retry_delay.nanos / 1e9


def unpack(detail, message):
    """The message inside a google.protobuf.Any of the known kind."""
    detail.Unpack(message)
    return message


def server_time(trailers):
    """The server's own time for a call in microseconds, or None where the trailer is missing or no number."""
    for key, value in trailers or ():
        if key == SERVER_TIME:
            try:
                return float(value)
            except ValueError:
                return None
    return None


def request_id():
    """A new id for a mutating call; a retry of the call sends the same one again."""
    return str(uuid.uuid4())


class Surface:
    """A connection and what reflection says can be called over it."""

    def __init__(self, target):
        self.channel = grpc.insecure_channel(target, options=CHANNEL_OPTIONS)
        database = ProtoReflectionDescriptorDatabase(self.channel)
        self.services = list(database.get_services())
        self.pool = descriptor_pool.DescriptorPool(database)
        # Every call's own time, by method, for the summary and for the check that none was without.
        self.times_us = {}
        self.untimed = []

    def close(self):
        self.channel.close()

    def services_by_v1(self):
        """The services as the second edition of the reflection protocol lists them (same messages, another name)."""
        call = self.channel.stream_stream(
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        answers = call(iter([reflection_pb2.ServerReflectionRequest(list_services="")]), timeout=DEADLINE_S)
        return [service.name for answer in answers for service in answer.list_services_response.service]

    def method(self, service, name):
        """The descriptor of a method of package tillside.v1."""
        return self.pool.FindServiceByName(f"tillside.v1.{service}").FindMethodByName(name)

    def message(self, descriptor, content):
        """A message of this type from a dictionary; an unknown field or enum value is an error."""
        return json_format.ParseDict(content, message_factory.GetMessageClass(descriptor)(), descriptor_pool=self.pool)

    def enum_name(self, answer, field):
        """The name of an enum field's value, without the type's prefix being guessed at."""
        return answer.DESCRIPTOR.fields_by_name[field].enum_type.values_by_number[getattr(answer, field)].name

    def call(self, service, name, content, timeout=DEADLINE_S):
        """A unary call. Raises Refused for an error status."""
        method = self.method(service, name)
        stub = self.channel.unary_unary(
            f"/{method.containing_service.full_name}/{name}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=message_factory.GetMessageClass(method.output_type).FromString,
        )
        try:
            answer, call = stub.with_call(self.message(method.input_type, content), timeout=timeout)
        except grpc.RpcError as error:
            refused = Refused(error)
            # A call that the client itself gave up has no trailers to show.
            if refused.code not in (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE):
                self._timed(f"{service}.{name}", refused.server_time_us)
            raise refused from None
        self._timed(f"{service}.{name}", server_time(call.trailing_metadata()))
        return answer

    def _timed(self, name, time_us):
        if time_us is None or time_us < 0:
            self.untimed.append(name)
        else:
            self.times_us.setdefault(name, []).append(time_us)

    def converse(self, service, name):
        """A bidirectional call, one message and one answer at a time."""
        return Conversation(self, self.method(service, name))


class Conversation:
    """A bidirectional stream that sends when told to, so that an answer can be awaited before the next message."""

    def __init__(self, surface, method):
        self._surface, self._method = surface, method
        self._outbox = queue.SimpleQueue()
        stub = surface.channel.stream_stream(
            f"/{method.containing_service.full_name}/{method.name}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=message_factory.GetMessageClass(method.output_type).FromString,
        )
        self._answers = stub(iter(self._outbox.get, None), timeout=DEADLINE_S)

    def ask(self, content):
        """Sends one message and waits for one answer."""
        self._outbox.put(self._surface.message(self._method.input_type, content))
        return next(self._answers)

    def end(self):
        """Says that no more messages come; answers whether the server then ended the stream without an error."""
        self._outbox.put(None)
        rest = list(self._answers)
        return not rest and self._answers.code() == grpc.StatusCode.OK
