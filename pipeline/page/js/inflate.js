// Blobs: deflated bytes as base64, undone by the browser's own decoder. See blob.py.

export async function inflate(blob) {
  const packed = Uint8Array.from(atob(blob), (character) => character.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
