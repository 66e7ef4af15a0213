/**
 * Beside libpcap: a capture on disk, 64-byte packets of established connections, to verdicts and
 * their counts (both passes of a replay, end-to-end.ts: the second is as short as it is by what the
 * first leaves), against libpcap merely reading the same file. Both find it in the page cache.
 * @module
 */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { middleOf, type Sampled } from '../end-to-end.ts';
import type { RunOptions } from './kernel-rows.ts';
import { compile, needTool, run } from './programs.ts';
import { type Goal, type Measured, middle } from './rows.ts';

const END_TO_END = fileURLToPath(new URL('../end-to-end.js', import.meta.url));
/** As many as make its connections' opening a small part. */
const PACKETS = 4_000_000;

export const READ_GOAL: Goal = {
  against: 'libpcap, pcap_next_ex alone',
  workload: 'a capture on disk to verdicts, 64-byte packets, 1,000 connections',
  goal: 1.5,
};

export function measureRead({ folder, samples }: RunOptions): Measured[] {
  needTool('libpcap', ['pkg-config', '--exists', 'libpcap'], 'libpcap-dev');
  const program = compile(folder, 'read', ['-lpcap']);
  const capture = join(folder, 'talk.pcap');
  const words = ['--packets', String(PACKETS), '--samples', String(samples), '--only', 'passes'];
  const said = run([process.execPath, END_TO_END, ...words, '--keep', capture, '--json']);
  const [ours] = JSON.parse(said) as readonly Sampled[];
  if (ours === undefined) throw new Error('nothing was sampled');
  const rounds = run([program, capture, String(samples)])
    .trim()
    .split('\n');
  const peer = rounds.map((round) => {
    const [packets = 0, , ns = 0] = round.split(' ').map(Number);
    if (packets !== PACKETS) throw new Error(`libpcap read ${packets} packets`);
    return (packets / ns) * 1e3;
  });
  const rates = ours.ns.map((ns) => 1e3 / ns);
  const note = `a further packet ${middleOf(ours.further).toFixed(0)} ns`;
  return [{ ...READ_GOAL, peer: middle(peer), ours: middle(rates), hitRate: ours.inLanes, note }];
}
