"""The languages that an audience can be told in: a catalogue of messages for each, and which of them was asked for."""
