"""The bare limit of `worker`: aiortc alone answers offers, counts messages, and records with its MediaRecorder.

python -m tests.benchmarks.worker_bare SOCKET: one JSON line in, one out.
"""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.contrib.media import MediaRecorder


class Bare:
    def __init__(self) -> None:
        self.connections: list[RTCPeerConnection] = []
        self.recorders: dict[str, MediaRecorder] = {}
        self.messages = 0

    async def offer(self, line: dict[str, Any]) -> dict[str, Any]:
        connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.connections.append(connection)

        @connection.on("datachannel")
        def opened(channel: Any) -> None:
            @channel.on("message")
            def message(text: str) -> None:
                json.loads(text)
                self.messages += 1

        @connection.on("track")
        def track(track: Any) -> None:
            recorder = self.recorders[line["who"]] = MediaRecorder(line["file"], format="ogg")
            recorder.addTrack(track)
            asyncio.ensure_future(recorder.start())

        await connection.setRemoteDescription(RTCSessionDescription(line["sdp"], "offer"))
        await connection.setLocalDescription(await connection.createAnswer())
        return {"sdp": connection.localDescription.sdp}

    async def stop(self, line: dict[str, Any]) -> dict[str, Any]:
        await self.recorders.pop(line["who"]).stop()
        return {"kept": Path(line["file"]).stat().st_size > 1000}


async def main(path: str) -> None:
    bare = Bare()

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def answer(line: dict[str, Any]) -> None:
            said = await getattr(bare, line["op"])(line)
            writer.write(json.dumps({**said, "n": line["n"]}).encode() + b"\n")

        waiting = set()
        while text := await reader.readline():
            task = asyncio.create_task(answer(json.loads(text)))
            waiting.add(task)
            task.add_done_callback(waiting.discard)
        os._exit(0)

    server = await asyncio.start_unix_server(client, path, limit=1 << 20)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
