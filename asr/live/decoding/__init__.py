"""From the audio of utterances to their text, word by word while they grow."""
