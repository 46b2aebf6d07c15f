"""Random graphs of vamp and ONNX ops that are well typed."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from vampconv.dialect.builder import VALUE

from .toy import Graph

DIM, HEADS, TIME = 4, 2, 3

STEPS = (
    "norm",
    "film",
    "modulate",
    "linear",
    "biased",
    "lora",
    "conv",
    "gate",
    "attend",
    "attend_plainly",
    "rippled",
    "waves",
    "snake",
    "batch_norm",
    "normed_conv",
    "pad",
    "quantise",
    "add",
    "convolve",
    "transpose",
    "embed",
    "control",
    "classify",
)


class Growing:
    """A graph that grows by one op of the model at a time; every value is [2, 3, 4]."""

    def __init__(self, seed):
        self.random = np.random.default_rng(seed)
        self.graph = Graph()
        x = self.graph.input("x", (2, TIME, DIM))
        self.values = [self.typed(self.graph.at("begin").Add(x, 0.0))]
        self.table = self.weight(32, HEADS)
        self.length = self.graph.input("length", (1,), np.int64)
        self.level = self.graph.input("r", (2,))
        self.codes = self.graph.input("codes", (2, 2, TIME), np.int64)
        self.feeds = {
            "x": self.random.standard_normal((2, TIME, DIM)).astype(np.float32),
            "length": np.array([TIME]),
            "r": np.array([0.25, 1.0], np.float32),
            "codes": self.random.integers(0, 5, (2, 2, TIME), endpoint=True),
        }

    def weight(self, *shape):
        name = f"w{len(self.graph.weights)}"
        return self.graph.weight(name, self.random.standard_normal(shape) / 2)

    def grow(self, step, pick, other):
        x, y = self.values[pick % len(self.values)], self.values[other % len(self.values)]
        op = self.graph.vamp(f"layers.{len(self.values)}.{step}")
        made = self.made(step, op, x, y)
        made.producer().metadata_props[VALUE] = f"value{len(self.values)}"
        self.values.append(made)

    def made(self, step, op, x, y):  # noqa: C901
        match step:
            case "norm":
                return op.RMSNorm(x, self.weight(DIM), eps=1e-6)
            case "film":
                return op.FiLM(x)
            case "modulate":
                condition = op.NoiseEmbedding(self.level, dim=5)
                weights = [self.weight(*s) for s in ((DIM, 5), (DIM,), (DIM, 5), (DIM,))]
                return op.FiLM(x, condition, *weights)
            case "linear":
                return op.Linear(x, self.weight(DIM, DIM))
            case "biased":
                return op.Linear(x, self.weight(DIM, DIM), self.weight(DIM))
            case "lora":
                adapted = op.LoRA(self.weight(DIM, DIM), self.weight(2, DIM), self.weight(DIM, 2), scale=0.5)
                return op.Linear(x, adapted)
            case "conv":
                weight = op.WeightNorm(self.weight(DIM, 1, 1), self.weight(DIM, DIM, 1))
                return op.PointwiseConv(x, weight, self.weight(DIM))
            case "gate":
                return op.GatedGELU(op.Linear(x, self.weight(2 * DIM, DIM)))
            case "attend":
                bias = op.RelativePositionBias(self.length, self.table, max_distance=128)
                return op.Attention(x, y, y, bias, heads=HEADS)
            case "attend_plainly":
                return op.Attention(x, y, x, heads=HEADS)
            case "snake":
                return op.Snake(x, self.positive(1, TIME, 1))
            case "waves":
                return self.convolved(op.Snake(self.convolved(x), self.positive(1, TIME, 1)))
            case "rippled":
                return self.convolved(op.Snake(x, self.positive(1, TIME, 1)))
            case "batch_norm":
                return self.normalised(op, x)
            case "normed_conv":
                return self.normalised(op, self.convolved(x))
            case "pad":
                return op.PadToMultiple(x, multiple=DIM)
            case "quantise":
                return self.quantised(op, x)
            case "convolve":
                return self.convolved(x)
            case "transpose":
                layout = {"strides": [1], "dilations": [1], "pads": [0, 1]}
                weights = self.weight(TIME, TIME, 2), self.weight(TIME)
                return self.typed(self.graph.at("conv").ConvTranspose(x, *weights, **layout))
            case "embed":
                weights = self.weight(5, DIM), self.weight(2, DIM)
                return self.typed(
                    self.residual.Add(x, op.CodebookEmbedding(self.codes, *weights, codebook=1))
                )
            case "control":
                weights = self.weight(DIM, TIME), self.weight(DIM)
                mask = self.graph.input(f"mask{len(self.values)}", (2, DIM))
                self.feeds[mask.name] = self.random.integers(0, 2, (2, DIM)).astype(np.float32)
                turned = op.ControlEncoder(x, mask, *weights)
                turned = self.residual.Transpose(turned, perm=[0, 2, 1])
                wide = op.Linear(self.sized(turned, (2, DIM, DIM)), self.weight(DIM, DIM))
                return self.typed(self.residual.Slice(wide, [0], [TIME], [1]))
            case "classify":
                logits = op.Classifier(x, self.weight(4, DIM, 1), self.weight(4), n_predict=2)
                return self.typed(self.residual.Reshape(logits, [2, TIME, DIM]))
        return self.typed(self.residual.Add(x, y))

    @property
    def residual(self):
        return self.graph.at("residual")

    def sized(self, value, shape):
        value.shape, value.type = ir.Shape(shape), ir.TensorType(ir.DataType.FLOAT)
        return value

    def positive(self, *shape):
        return self.graph.weight(f"w{len(self.graph.weights)}", self.random.uniform(0.5, 2, shape))

    def typed(self, value):
        value.shape, value.type = ir.Shape((2, TIME, DIM)), ir.TensorType(ir.DataType.FLOAT)
        return value

    def convolved(self, x):
        """A convolution over the last axis."""
        weights = self.weight(TIME, TIME, 3), self.weight(TIME)
        layout = {"strides": [1], "dilations": [1], "pads": [1, 1]}
        return self.typed(self.graph.at("conv").Conv(x, *weights, **layout))

    def normalised(self, op, x):
        statistics = [self.weight(TIME), self.weight(TIME), self.weight(TIME), self.positive(TIME)]
        return op.BatchNorm(x, *statistics, eps=1e-5)

    def quantised(self, op, x):
        """The sum of what two codebooks make of the nearest code and of code 1, and x to keep it continuous."""
        codes = op.NearestCode(x, self.weight(5, DIM))
        ones = self.graph.at("codes").constant(np.ones((2, 1, TIME), np.int64))
        both = self.graph.at("codes").Concat(self.graph.at("codes").Unsqueeze(codes, [1]), ones, axis=1)
        both.shape, both.type = ir.Shape((2, 2, TIME)), ir.TensorType(ir.DataType.INT64)
        tables = self.graph.at("codes").Concat(
            *(self.graph.at("codes").Unsqueeze(op.Requantize(self.weight(5, DIM)), [0]) for _ in range(3)),
            axis=0,
        )
        tables.shape, tables.type = ir.Shape((3, 5, DIM)), ir.TensorType(ir.DataType.FLOAT)
        decoded = op.DecodeCodes(both, tables, self.weight(3, DIM, DIM), self.weight(3, DIM))
        return self.typed(self.graph.at("residual").Add(decoded, x))

    def model(self, opset):
        last = self.values[-1]
        if last.is_graph_input() or last.producer() is None:
            last = self.graph.at("end").Identity(last)
        return self.graph.model(last, opset=opset)


def grown(plan, seed, opset):
    """A model of these steps, and inputs for it."""
    growing = Growing(seed)
    for step in plan:
        growing.grow(*step)
    return growing.model(opset), growing.feeds


def shuffled(model, random):
    """The model with its nodes in another order, each still after those that it reads."""
    graph = model.graph
    waiting = list(graph)
    made = {*graph.inputs, *graph.initializers.values()}
    graph.remove(waiting)
    while waiting:
        ready = [n for n in waiting if all(v is None or v in made for v in n.inputs)]
        node = random.choice(ready)
        waiting.remove(node)
        made.update(node.outputs)
        graph.append(node)
    return model
