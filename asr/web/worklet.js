// Gathers the microphone's samples into messages of 100 ms, as 16-bit numbers.

const MESSAGES_PER_SECOND = 10;

class Gatherer extends AudioWorkletProcessor {
  constructor() {
    super();
    this.size = Math.round(sampleRate / MESSAGES_PER_SECOND);
    this.begin();
    this.port.onmessage = () => this.flush(); // the last words, before the microphone is closed
  }

  begin() {
    this.samples = new Int16Array(this.size);
    this.count = 0;
  }

  process([input]) {
    const channel = input[0];
    for (let i = 0; channel && i < channel.length; i++) {
      const sample = Math.max(-1, Math.min(1, channel[i]));
      this.samples[this.count++] = Math.round(sample * 32767);
      if (this.count === this.size) this.send(this.samples);
    }
    return true;
  }

  flush() {
    this.send(this.samples.slice(0, this.count));
    this.port.postMessage(null);
  }

  send(samples) {
    this.port.postMessage(samples, [samples.buffer]);
    this.begin();
  }
}

registerProcessor("gatherer", Gatherer);
