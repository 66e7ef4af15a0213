/**
 * The digest of a stored file, beside those who read it several times without one.
 * @module
 */
import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';

const CHUNK_BYTES = 256 * 1024;

/** SHA-256 of what a file holds, and how many bytes that were. */
export interface FileDigest {
  readonly bytes: number;
  readonly sha256: string;
}

/**
 * Digest a file, or its first `most` bytes.
 *
 * @returns null when it can not be read: whoever reads it says so
 */
export async function digestFile(
  path: string,
  most = Number.POSITIVE_INFINITY,
): Promise<FileDigest | null> {
  const file = await open(path, 'r').catch(() => null);
  if (file === null) return null;
  try {
    const digest = createHash('sha256');
    const buffer = Buffer.allocUnsafeSlow(CHUNK_BYTES);
    let bytes = 0;
    while (bytes < most) {
      const { bytesRead } = await file.read(buffer, 0, Math.min(CHUNK_BYTES, most - bytes), bytes);
      if (bytesRead === 0) break;
      digest.update(buffer.subarray(0, bytesRead));
      bytes += bytesRead;
    }
    return { bytes, sha256: digest.digest('hex') };
  } catch {
    return null;
  } finally {
    await file.close();
  }
}
