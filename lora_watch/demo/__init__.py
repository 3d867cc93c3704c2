"""The main job on real input, without a network: pretrained models, real text, one run that works and one that
does not. The pieces are importable on their own and cost nothing until they are used."""
