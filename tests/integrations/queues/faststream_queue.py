"""FastStream on NATS JetStream: a message that is not acknowledged is delivered again."""

from __future__ import annotations

import asyncio
import sys

from faststream import AckPolicy, FastStream
from faststream.nats import JStream, NatsBroker
from faststream.nats.annotations import NatsMessage
from job import BROKER, AgainError, make_flow, settle_or_raise
from nats.js.api import ConsumerConfig

broker = NatsBroker(BROKER)
app = FastStream(broker)
stream = JStream("flows", subjects=["settle"])
flow = make_flow()


@broker.subscriber(
    "settle",
    stream=stream,
    durable="settlers",
    ack_policy=AckPolicy.MANUAL,
    config=ConsumerConfig(ack_wait=2, max_deliver=20),
)
async def settle_flow(flow_id: str, message: NatsMessage) -> None:
    try:
        await settle_or_raise(flow_id, flow)
    except AgainError as again:
        await message.nack(delay=again.seconds)
    else:
        await message.ack()


async def send(flow_id: str) -> None:
    async with NatsBroker(BROKER) as sending:
        await sending.publish(flow_id, "settle", stream="flows")


if __name__ == "__main__":
    asyncio.run(send(sys.argv[1]))
