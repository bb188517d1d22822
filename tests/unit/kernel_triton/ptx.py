"""Carrying out PTX on a CPU, one block of threads at a time, every lane an element of an array.

Enough of the language for the fused kernel, whose branches all threads of a block take alike.
Memory that no tensor of the launch holds is not read or written: it is an error.
"""

from __future__ import annotations

import operator
import re

import numpy as np

TYPES = {
    "f32": np.float32, "f64": np.float64, "s16": np.int16, "s32": np.int32, "s64": np.int64,
    "u16": np.uint16, "u32": np.uint32, "u64": np.uint64, "b16": np.uint16, "b32": np.uint32,
    "b64": np.uint64, "pred": np.bool_,
}  # fmt: skip
REGISTERS = {"p": np.bool_, "rs": np.uint16, "r": np.uint32, "rd": np.uint64}
COMPARE = {
    "eq": operator.eq, "ne": operator.ne, "lt": operator.lt, "le": operator.le,
    "gt": operator.gt, "ge": operator.ge,
}  # fmt: skip
BINARY = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "min": np.minimum, "max": np.maximum,
    "and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor,
}  # fmt: skip
STATEMENT = re.compile(r"(?:@(!?)(%p\d+)\s+)?([a-z][\w.]*)\s*(.*?);")


def fused(x, y, z):
    """x·y + z rounded once, or nearly: in float64 from the exact product and exact sums."""
    if x.dtype == np.float32:
        wide = x.astype(np.float64) * y.astype(np.float64) + z.astype(np.float64)
        return wide.astype(np.float32)
    product = x * y
    a, b = _halves(x), _halves(y)
    lost = ((a[0] * b[0] - product) + a[0] * b[1] + a[1] * b[0]) + a[1] * b[1]
    total = product + z
    part = total - product
    rest = (product - (total - part)) + (z - part)
    return total + (lost + rest)


def _halves(value):
    spread = value * 134217729.0
    high = spread - (spread - value)
    return high, value - high


class Memory:
    """The tensors of a launch, found by address."""

    def __init__(self, tensors):
        self._held = [(t.data_ptr(), t.numpy().reshape(-1).view(np.uint8)) for t in tensors]

    def _find(self, addresses, size):
        for base, content in self._held:
            if (
                addresses.size
                and base <= addresses.min()
                and addresses.max() + size <= base + content.size
            ):
                assert not ((addresses - base) % size).any(), "an address that is not aligned"
                return content, (addresses - base) // size
        assert not addresses.size, "an address that belongs to no argument"
        return np.zeros(0, np.uint8), addresses

    def load(self, addresses, kind):
        content, places = self._find(addresses, np.dtype(kind).itemsize)
        return content[: content.size // np.dtype(kind).itemsize * np.dtype(kind).itemsize].view(
            kind
        )[places]

    def store(self, addresses, values):
        content, places = self._find(addresses, values.dtype.itemsize)
        content.view(values.dtype)[places] = values


class Program:
    """One kernel, read from its PTX."""

    def __init__(self, text):
        body = text[text.index(".entry") :]
        self.threads = int(re.search(r"\.reqntid (\d+)", body)[1])
        self.statements = []
        self.labels = {}
        for raw in body[body.index("{") :].splitlines():
            line = raw.partition("//")[0].strip()
            label = re.fullmatch(r"(\$\w+):", line)
            if label:
                self.labels[label[1]] = len(self.statements)
            elif line and not line.startswith("."):
                self._read(line)

    def _read(self, line):
        found = STATEMENT.fullmatch(line)
        if found:
            name, *modifiers = found[3].split(".")
            operands = re.findall(r"\{[^}]*\}|\[[^]]*\]|[^,\s]+", found[4])
            self.statements.append((found[1], found[2], name, modifiers, operands))
        else:
            assert line in ("{", "}", ")"), f"not understood: {line}"

    def run(self, grid, arguments):
        """Carry out all blocks; tensors among the arguments are read and written in place."""
        memory = Memory([a for a in arguments if hasattr(a, "data_ptr")])
        values = [a.data_ptr() if hasattr(a, "data_ptr") else a for a in arguments]
        with np.errstate(all="ignore"):
            for block in range(grid[0]):
                _Block(self, memory, values, block).run()


class _Block:
    def __init__(self, program, memory, parameters, block):
        self.program, self.memory, self.parameters = program, memory, parameters
        self.lanes = program.threads
        self.registers = {
            "%tid.x": np.arange(self.lanes, dtype=np.uint32),
            "%ctaid.x": np.full(self.lanes, block, np.uint32),
        }

    def run(self):
        place = 0
        while True:
            negated, predicate, name, modifiers, operands = self.program.statements[place]
            place += 1
            chosen = None
            if predicate:
                chosen = self.registers[predicate] ^ bool(negated)
            if name == "ret":
                return
            if name == "bra":
                assert chosen is None or chosen.all() or not chosen.any(), "threads part ways"
                if chosen is None or chosen.all():
                    place = self.program.labels[operands[0]]
                continue
            getattr(self, f"_{name}", self._arithmetic)(name, modifiers, operands, chosen)

    def _value(self, operand, kind):
        if operand.startswith("%"):
            held = self.registers[operand]
            size = np.dtype(kind).itemsize
            # A register may be wider than what is taken from it: its low bits are.
            return (held if held.itemsize <= size else held.astype(f"u{size}")).view(kind)
        if operand.startswith(("0f", "0d")):
            bits = np.array([int(operand[2:], 16)], np.uint32 if operand[1] == "f" else np.uint64)
            return bits.view(np.float32 if operand[1] == "f" else np.float64)
        number = int(operand, 0) % (1 << (8 * np.dtype(kind).itemsize))
        return np.array([number], np.dtype(f"u{np.dtype(kind).itemsize}")).view(kind)

    def _write(self, name, values, chosen=None):
        kind = REGISTERS[re.match(r"%([a-z]+)", name)[1]]
        values = np.ascontiguousarray(np.broadcast_to(values, self.lanes))
        assert values.dtype.itemsize == np.dtype(kind).itemsize, f"{name} holds {values.dtype}"
        values = values.view(kind)
        if chosen is not None:
            values = np.where(chosen, values, self.registers[name])
        self.registers[name] = values

    def _arithmetic(self, name, modifiers, operands, chosen):
        if modifiers[-1] == "s16x2":
            pairs = [
                np.ascontiguousarray(np.broadcast_to(self._value(o, np.uint32), self.lanes))
                for o in operands[1:]
            ]
            result = BINARY[name](*(pair.view(np.uint16) for pair in pairs))
            self._write(operands[0], result.view(np.uint32), chosen)
            return
        kind = TYPES[modifiers[-1]]
        inputs = [self._value(operand, kind) for operand in operands[1:]]
        if name == "mul" and modifiers[0] == "wide":
            inputs = [value.astype(np.int64) for value in inputs]
        self._write(operands[0], BINARY[name](*inputs), chosen)

    def _mad(self, name, modifiers, operands, chosen):
        kind = TYPES[modifiers[-1]]
        wide = np.int64 if modifiers[0] == "wide" else kind
        first, second = (self._value(item, kind).astype(wide) for item in operands[1:3])
        self._write(operands[0], first * second + self._value(operands[3], wide), chosen)

    def _fma(self, name, modifiers, operands, chosen):
        self._write(operands[0], fused(*self._floats(modifiers, operands)), chosen)

    def _floats(self, modifiers, operands):
        return [self._value(operand, TYPES[modifiers[-1]]) for operand in operands[1:]]

    def _div(self, name, modifiers, operands, chosen):
        over, under = self._floats(modifiers, operands)
        if over.dtype.kind == "f":
            result = over / under
        else:
            result = (np.abs(over) // np.abs(under) * (np.sign(over) * np.sign(under))).astype(
                over.dtype
            )
        self._write(operands[0], result, chosen)

    def _rem(self, name, modifiers, operands, chosen):
        self._write(operands[0], np.fmod(*self._floats(modifiers, operands)), chosen)

    def _rcp(self, name, modifiers, operands, chosen):
        (value,) = self._floats(modifiers, operands)
        self._write(operands[0], np.float32(1.0) / value, chosen)

    def _sqrt(self, name, modifiers, operands, chosen):
        self._write(operands[0], np.sqrt(*self._floats(modifiers, operands)), chosen)

    def _abs(self, name, modifiers, operands, chosen):
        self._write(operands[0], np.abs(*self._floats(modifiers, operands)), chosen)

    def _neg(self, name, modifiers, operands, chosen):
        self._write(operands[0], np.negative(*self._floats(modifiers, operands)), chosen)

    def _not(self, name, modifiers, operands, chosen):
        self._write(operands[0], ~self._floats(modifiers, operands)[0], chosen)

    def _shl(self, name, modifiers, operands, chosen):
        value = self._value(operands[1], TYPES[modifiers[-1]])
        self._write(operands[0], value << self._count(operands[2], value), chosen)

    def _shr(self, name, modifiers, operands, chosen):
        value = self._value(operands[1], TYPES[modifiers[-1]])
        self._write(operands[0], value >> self._count(operands[2], value), chosen)

    def _count(self, operand, value):
        return self._value(operand, np.uint32).astype(value.dtype)

    def _setp(self, name, modifiers, operands, chosen):
        left, right = self._floats(modifiers, operands)
        how = modifiers[0]
        if left.dtype.kind == "f" and how.endswith("u"):
            unordered = np.isnan(left) | np.isnan(right)
            result = COMPARE[how[:-1]](left, right) | unordered
        else:
            result = COMPARE[how](left, right)
        self._write(operands[0], result, chosen)

    def _selp(self, name, modifiers, operands, chosen):
        kind = TYPES[modifiers[-1]]
        first, second = (self._value(item, kind) for item in operands[1:3])
        self._write(operands[0], np.where(self.registers[operands[3]], first, second), chosen)

    def _cvt(self, name, modifiers, operands, chosen):
        target, source = (TYPES[item] for item in modifiers[-2:])
        self._write(operands[0], self._value(operands[1], source).astype(target), chosen)

    def _redux(self, name, modifiers, operands, chosen):
        assert modifiers == ["sync", "max", "s32"]
        value = np.broadcast_to(self._value(operands[1], np.int32), self.lanes).reshape(-1, 32)
        self._write(operands[0], np.repeat(value.max(axis=1), 32), chosen)

    def _mov(self, name, modifiers, operands, chosen):
        to, of = operands
        if of.startswith("{"):
            parts = [self._value(item, np.uint16) for item in _listed(of)]
            stacked = np.stack([np.broadcast_to(part, self.lanes) for part in parts], axis=1)
            self._write(to, np.ascontiguousarray(stacked).view(np.uint32)[:, 0], chosen)
        elif to.startswith("{"):
            halves = np.ascontiguousarray(self.registers[of]).view(np.uint16).reshape(-1, 2)
            for number, item in enumerate(_listed(to)):
                self._write(item, halves[:, number], chosen)
        else:
            self._write(to, self._value(of, TYPES[modifiers[-1]]), chosen)

    def _ld(self, name, modifiers, operands, chosen):
        kind = TYPES[modifiers[-1]]
        if modifiers[0] == "param":
            number = int(re.search(r"param_(\d+)", operands[1])[1])
            raw = self.parameters[number] % (1 << (8 * np.dtype(kind).itemsize))
            self._write(operands[0], np.array([raw], kind), chosen)
            return
        addresses = self._address(operands[1])
        active = np.ones(self.lanes, bool) if chosen is None else chosen
        for number, item in enumerate(_listed(operands[0])):
            values = np.zeros(self.lanes, kind)
            offset = np.uint64(number * np.dtype(kind).itemsize)
            values[active] = self.memory.load(addresses[active] + offset, kind)
            self._write(item, values, chosen)

    def _st(self, name, modifiers, operands, chosen):
        active = np.ones(self.lanes, bool) if chosen is None else chosen
        (item,) = _listed(operands[1])
        values = np.broadcast_to(self._value(item, TYPES[modifiers[-1]]), self.lanes)
        self.memory.store(self._address(operands[0])[active], values[active])

    def _address(self, operand):
        found = re.fullmatch(r"\[\s*(%rd\d+)\s*(?:\+\s*(-?\d+))?\s*\]", operand)
        return self.registers[found[1]] + np.uint64(int(found[2] or 0) % (1 << 64))


def _listed(operand):
    return [item.strip() for item in operand.strip("{} ").split(",")]
