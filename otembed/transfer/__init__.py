"""Tasks learnt in English and tested in other languages: a head is trained on the encoder, then asked zero-shot."""
