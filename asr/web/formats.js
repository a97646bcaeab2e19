// Writes a transcript as txt, srt, vtt and json, letter by letter as the server does.

const LINE_WIDTH = 42; // letters in a line of a cue
const LINE_COUNT = 2; // lines in a cue
const SHORTEST_CUE = 500; // A cue lasts at least so many milliseconds, unless the next one begins.

export const TYPES = {
  txt: "text/plain",
  srt: "application/x-subrip",
  vtt: "text/vtt",
  json: "application/json",
};

/** The transcript in a format; `result` is what the page has of it. */
export function written(result, format) {
  if (format === "txt") return result.text;
  if (format === "json") return `${JSON.stringify(plain(result), null, 2)}\n`;
  const found = cues(result.segments, format === "srt");
  if (format === "srt") return found.map((cue, i) => srt(cue, i + 1)).join("");
  return `WEBVTT\n\n${found.map(vtt).join("")}`;
}

function plain({ task, language, duration, text, segments, coverage, warnings }) {
  const named = (speaker) => (speaker ? { speaker: label(speaker) } : {});
  return {
    task,
    language,
    duration,
    text,
    segments: segments.map((segment, id) => ({
      id,
      start: segment.start,
      end: segment.end,
      text: segment.text,
      ...named(segment.speaker),
    })),
    words: segments.flatMap(({ words, speaker }) =>
      words.map((word) => ({ ...word, ...named(speaker) })),
    ),
    coverage,
    warnings,
  };
}

/** "A", "B" … "AA" of OpenAI's events as the server's subtitles have it: "SPEAKER_00" … */
export function label(speaker) {
  if (!/^[A-Z]{1,2}$/.test(speaker)) return speaker;
  const number = [...speaker].reduce((sum, letter) => 26 * sum + letter.charCodeAt(0) - 64, 0) - 1;
  return `SPEAKER_${String(number).padStart(2, "0")}`;
}

function srt(cue, number) {
  return `${number}\n${clock(cue.start, ",")} --> ${clock(cue.end, ",")}\n${cue.lines.join("\n")}\n\n`;
}

function vtt(cue) {
  const voice = cue.speaker ? `<v ${escaped(cue.speaker)}>` : "";
  const text = escaped(cue.lines.join("\n"));
  return `${clock(cue.start, ".")} --> ${clock(cue.end, ".")}\n${voice}${text}\n\n`;
}

function escaped(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

function clock(milliseconds, point) {
  const two = (number) => String(Math.floor(number)).padStart(2, "0");
  const [seconds, rest] = [Math.floor(milliseconds / 1000), milliseconds % 1000];
  const time = [seconds / 3600, (seconds / 60) % 60, seconds % 60].map(two).join(":");
  return `${time}${point}${String(rest).padStart(3, "0")}`;
}

function cues(segments, namesSpeakers) {
  const found = segments.flatMap((segment) => cuesOf(segment, namesSpeakers));
  let before = 0;
  return found.map((cue, i) => {
    const start = i ? Math.max(cue.start, before) : cue.start;
    before = closed({ ...cue, start }, found[i + 1]?.start);
    return { ...cue, start, end: before };
  });
}

// The end of a cue: long enough to read, and before the following one.
function closed({ start, end }, following) {
  if (following !== undefined && following <= start) return start + SHORTEST_CUE;
  const long = Math.max(end, start + SHORTEST_CUE);
  return following === undefined ? long : Math.min(long, following);
}

function cuesOf(segment, namesSpeakers) {
  const speaker = segment.speaker ? label(segment.speaker) : "";
  const prefix = speaker && namesSpeakers ? `${speaker}: ` : "";
  const words = spaced(segment).flatMap((word) => broken(word, LINE_WIDTH - prefix.length));
  const groups = prefix ? groupsOf(words, prefix.length) : chunksOf(words);
  return groups.map((held) => {
    const texts = held.map((line) => line.map((word) => word.text.join("")).join("").trim());
    return {
      start: Math.round(held[0][0].start * 1000),
      end: Math.round(held.at(-1).at(-1).end * 1000),
      lines: [prefix + texts[0], ...texts.slice(1)],
      speaker,
    };
  });
}

/** The words of a segment, each as a list of letters with the space before it, where one is. */
function spaced(segment) {
  const text = segment.text.trim().split(/\s+/).join(" ");
  if (!segment.words.length) return spread(text, segment);
  let place = 0;
  return segment.words.map((word) => {
    const space = text[place] === " " || !place ? " " : "";
    const at = text.indexOf(word.word, place);
    place = (at < 0 ? place : at) + word.word.length;
    return { text: [...(space + word.word)], start: word.start, end: word.end };
  });
}

// Without times of their own, words are spread evenly over the letters.
function spread(text, { start, end }) {
  const second = (end - start) / [...text].length;
  let place = 0;
  return text.split(" ").filter(Boolean).map((word, i) => {
    const letters = [...(i ? ` ${word}` : word)];
    const from = start + place * second;
    place += letters.length;
    return { text: letters, start: from, end: start + place * second };
  });
}

function chunksOf(words) {
  const lines = evenLines(words);
  const chunks = [];
  for (let i = 0; i < lines.length; i += LINE_COUNT) chunks.push(lines.slice(i, i + LINE_COUNT));
  return chunks;
}

// The first line of each cue is shorter by the speaker's name.
function groupsOf(words, indent) {
  const groups = [];
  for (let place = 0; place < words.length;) {
    const coming = words.slice(place, place + LINE_WIDTH * LINE_COUNT);
    const lines = evenLines(coming, indent).slice(0, LINE_COUNT);
    groups.push(lines);
    place += lines.reduce((sum, line) => sum + line.length, 0);
  }
  return groups;
}

// As few lines as the width allows, of lengths as even as possible.
function evenLines(words, indent = 0) {
  const fewest = filled(words, LINE_WIDTH, indent).length;
  let [low, high] = [1, LINE_WIDTH];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (filled(words, middle, indent).length <= fewest) high = middle;
    else low = middle + 1;
  }
  return filled(words, low, indent);
}

function filled(words, width, indent) {
  const lines = [];
  let used = indent;
  for (const word of words) {
    if (lines.length && used + word.text.length <= width) {
      lines.at(-1).push(word);
      used += word.text.length;
    } else {
      const space = word.text[0] === " " ? 1 : 0;
      used = word.text.length - space + (lines.length ? 0 : indent);
      lines.push([word]);
    }
  }
  return lines;
}

// A word in parts of at most `width` letters, for scripts without spaces.
function broken(word, width) {
  const space = word.text[0] === " " ? [" "] : [];
  const letters = word.text.slice(space.length);
  if (letters.length <= width) return [word];
  const seconds = (word.end - word.start) / letters.length;
  const parts = [];
  for (let place = 0; place < letters.length;) {
    const end = place + breakOf(letters.slice(place), width);
    parts.push({
      text: [...(place ? [] : space), ...letters.slice(place, end)],
      start: word.start + place * seconds,
      end: word.start + end * seconds,
    });
    place = end;
  }
  return parts;
}

// Where a line ends: after punctuation if possible, never before a mark.
function breakOf(letters, width) {
  if (letters.length <= width) return letters.length;
  const isPoint = (letter) => /\p{P}/u.test(letter);
  for (let end = width; end > Math.floor(width / 2); end--) {
    if (isPoint(letters[end - 1]) && !isPoint(letters[end])) return end;
  }
  let end = width;
  while (end > 1 && /\p{M}/u.test(letters[end])) end--;
  return end;
}
