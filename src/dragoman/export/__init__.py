"""Trained models in the formats of other engines: CTranslate2, Hugging Face."""
