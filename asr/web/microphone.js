// Opens the microphone, and keeps what it heard.

const WANTED_RATE = 24000; // samples per second; the browser converts the microphone's to it
const SOUND = { channelCount: 1, echoCancellation: true, noiseSuppression: false };

const REASONS = {
  NotAllowedError: [
    "The browser does not let this page use the microphone.",
    "Allow it in the address bar (the microphone or the lock), then press Speak again.",
  ],
  NotFoundError: ["There is no microphone.", "Connect one, then press Speak again."],
  NotReadableError: [
    "The microphone does not answer.",
    "Another program may be using it: close that, then press Speak again.",
  ],
};

/** Why there is no sound, and what to do about it. */
export class NoMicrophone extends Error {
  constructor(title, detail) {
    super(title);
    this.detail = detail;
  }
}

export class Microphone {
  /** Ask for the microphone; on.sound(samples, level) comes each 100 ms. */
  static async open(on) {
    if (!window.isSecureContext) {
      throw new NoMicrophone(
        "Browsers give the microphone to pages over https only.",
        "Open this page by https:// (put a TLS gateway in front of the server), or on localhost.",
      );
    }
    if (!navigator.mediaDevices?.getUserMedia || !window.AudioWorkletNode) {
      throw new NoMicrophone(
        "This browser cannot record.",
        "Use a current one, or choose a recording instead.",
      );
    }
    const microphone = new Microphone(on);
    try {
      microphone.stream = await navigator.mediaDevices.getUserMedia({ audio: SOUND });
      await microphone.connect();
    } catch (error) {
      await microphone.close();
      const [title, detail] = REASONS[error.name] ?? ["The microphone cannot be used.", error.message];
      throw new NoMicrophone(title, detail);
    }
    return microphone;
  }

  constructor(on) {
    this.on = on;
    this.chunks = [];
    this.count = 0; // samples
  }

  get seconds() {
    return this.count / this.rate;
  }

  async connect() {
    let source;
    try {
      this.context = new AudioContext({ sampleRate: WANTED_RATE });
      source = this.context.createMediaStreamSource(this.stream);
    } catch { // a browser that does not convert: the server takes the microphone's own rate
      await this.context?.close();
      this.context = new AudioContext();
      source = this.context.createMediaStreamSource(this.stream);
    }
    this.rate = this.context.sampleRate;
    await this.context.audioWorklet.addModule(new URL("worklet.js", import.meta.url));
    this.node = new AudioWorkletNode(this.context, "gatherer", { numberOfOutputs: 0 });
    this.node.port.onmessage = ({ data }) => this.take(data);
    this.stream.getAudioTracks()[0].onended = () => this.on.ended?.();
    source.connect(this.node);
    await this.context.resume();
  }

  take(samples) {
    if (samples === null) {
      this.flushed?.();
      return;
    }
    this.chunks.push(samples);
    this.count += samples.length;
    let sum = 0;
    for (const sample of samples) sum += sample * sample;
    this.on.sound(samples, Math.sqrt(sum / Math.max(1, samples.length)) / 32768);
  }

  /** Stop, after the last samples were told. */
  async stop() {
    if (this.node && this.context.state === "running") {
      const last = new Promise((resolve) => (this.flushed = resolve));
      this.node.port.postMessage("flush");
      await Promise.race([last, new Promise((resolve) => setTimeout(resolve, 500))]);
    }
    await this.close();
  }

  async close() {
    this.stream?.getTracks().forEach((track) => track.stop());
    if (this.context && this.context.state !== "closed") await this.context.close();
  }

  /** All that was heard, as a WAV file. */
  recording(name) {
    const header = new DataView(new ArrayBuffer(44));
    const bytes = 2 * this.count;
    const text = (place, letters) =>
      [...letters].forEach((letter, i) => header.setUint8(place + i, letter.charCodeAt(0)));
    text(0, "RIFF");
    header.setUint32(4, 36 + bytes, true);
    text(8, "WAVEfmt ");
    header.setUint32(16, 16, true);
    header.setUint16(20, 1, true); // PCM
    header.setUint16(22, 1, true); // one channel
    header.setUint32(24, this.rate, true);
    header.setUint32(28, 2 * this.rate, true);
    header.setUint16(32, 2, true);
    header.setUint16(34, 16, true);
    text(36, "data");
    header.setUint32(40, bytes, true);
    return new File([header, ...this.chunks], name, { type: "audio/wav" });
  }
}
