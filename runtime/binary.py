"""A compiled kernel and what is known of it, and its form in the cache."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from .facts import Facts, Instructions


class Binary(NamedTuple):
    """A compiled kernel. `text` and `code` are PTX and cubin, or AMD's assembly and hsaco; `metadata` is what a launch
    needs to know (Triton's), `parameters` the types of the kernel's run-time arguments."""

    target: str
    text: str
    code: bytes
    facts: Facts
    metadata: dict[str, Any]
    parameters: tuple[str, ...]

    @property
    def ptx(self) -> str | None:
        return self.text if self.target.startswith("cuda:") else None

    @property
    def cubin(self) -> bytes | None:
        return self.code if self.target.startswith("cuda:") else None

    @property
    def amdgcn(self) -> str | None:
        return self.text if self.target.startswith("hip:") else None

    @property
    def hsaco(self) -> bytes | None:
        return self.code if self.target.startswith("hip:") else None

    @property
    def registers(self) -> int:
        """Per lane."""
        return self.facts.registers

    @property
    def spills(self) -> int:
        """Bytes of stack per lane; 0 when everything stays in registers."""
        return self.facts.spills

    @property
    def shared_bytes(self) -> int:
        return int(self.metadata["shared"])

    @property
    def access_bits(self) -> dict[int, int]:
        """Width in bits of one lane's global access -> number of such instructions in the kernel."""
        return self.facts.access_bits

    @property
    def sass(self) -> str | None:
        """The disassembly, for NVIDIA's targets; made at each reading, in up to a second."""
        from .inspect import sass

        return None if self.cubin is None else sass(self.cubin)

    def to_parts(self) -> dict[str, bytes]:
        plain = {
            "target": self.target,
            "metadata": self.metadata,
            "parameters": list(self.parameters),
            "registers": self.registers,
            "spills": self.spills,
            "loads": list(self.facts.loads.items()),
            "stores": list(self.facts.stores.items()),
            "instructions": self.facts.instructions._asdict(),
        }
        return {"facts": json.dumps(plain).encode(), "text": self.text.encode(), "code": self.code}

    @staticmethod
    def from_parts(parts: dict[str, bytes]) -> Binary:
        plain = json.loads(parts["facts"])
        loads, stores = ({int(k): int(v) for k, v in plain[name]} for name in ("loads", "stores"))
        counts = Instructions(**plain["instructions"])
        facts = Facts(plain["registers"], plain["spills"], loads, stores, counts)
        text, code = parts["text"].decode(), parts["code"]
        return Binary(plain["target"], text, code, facts, plain["metadata"], tuple(plain["parameters"]))
