"""The iterative sampling loop as one ONNX graph, around a converted transformer whose data file it shares."""
