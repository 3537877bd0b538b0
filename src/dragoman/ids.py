"""The one law that text and tensors share: the first four ids of every vocabulary."""

PAD, BOS, EOS, UNK = range(4)
