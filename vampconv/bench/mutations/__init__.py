"""Who verifies the verifier: faults put into converted models, which layerwise verification must find and place."""
