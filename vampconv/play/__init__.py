"""From a file of audio to another: what ``vampconv vamp`` does, without torch and the converter."""
