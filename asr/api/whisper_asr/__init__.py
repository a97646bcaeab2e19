"""The dialect of whisper-asr-webservice: `/asr` and `/detect-language` with an `audio_file`."""
