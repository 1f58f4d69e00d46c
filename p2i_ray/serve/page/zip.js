// Files in a zip, stored as they are: pictures are compressed already.

const VERSION = 20; // of the format, as 2.0
const UTF8 = 0x0800; // the names' encoding
const LOCAL = 0x04034b50;
const CENTRAL = 0x02014b50;
const END = 0x06054b50;

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});

/** A zip (Blob) of files, [{name, blob}] with names that differ; when: their time. */
export async function zip(files, when = new Date()) {
  const parts = [];
  const directory = [];
  let offset = 0;
  for (const { name, blob } of files) {
    const bytes = new Uint8Array(await blob.arrayBuffer());
    const title = new TextEncoder().encode(name);
    const about = [[VERSION, 2], [UTF8, 2], [0, 2], ...dosTime(when), [checksum(bytes), 4], [bytes.length, 4],
      [bytes.length, 4], [title.length, 2], [0, 2]];
    const local = [record([[LOCAL, 4], ...about]), title];
    directory.push(record([[CENTRAL, 4], [VERSION, 2], ...about, [0, 2], [0, 2], [0, 2], [0, 4], [offset, 4]]), title);
    parts.push(...local, bytes);
    offset += sizeOf(local) + bytes.length;
  }
  const many = [files.length, 2];
  const end = record([[END, 4], [0, 2], [0, 2], many, many, [sizeOf(directory), 4], [offset, 4], [0, 2]]);
  return new Blob([...parts, ...directory, end], { type: "application/zip" });
}

/** CRC-32 of bytes. */
export function checksum(bytes) {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = TABLE[(crc ^ byte) & 0xff] ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

// Little-endian numbers, [value, bytes] each.
function record(fields) {
  const bytes = new Uint8Array(fields.reduce((sum, [, length]) => sum + length, 0));
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const [value, length] of fields) {
    if (length === 2) view.setUint16(at, value, true);
    else view.setUint32(at, value, true);
    at += length;
  }
  return bytes;
}

function sizeOf(parts) {
  return parts.reduce((sum, { length }) => sum + length, 0);
}

function dosTime(when) {
  const time = (when.getHours() << 11) | (when.getMinutes() << 5) | (when.getSeconds() >> 1);
  const day = ((when.getFullYear() - 1980) << 9) | ((when.getMonth() + 1) << 5) | when.getDate();
  return [[time, 2], [day, 2]];
}
