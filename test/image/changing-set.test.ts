import t from 'tap';
import { compileSet } from '../../src/image/set/ip-set.ts';
import type { SetMemory } from '../../src/image/set/set-memory.ts';
import { PORT_CUT, type SetView } from '../../src/image/set/set-view.ts';
import { address } from '../support/packets.ts';

function view(src: string, port = 80): SetView {
  const ends = { src: address(src), dst: address('10.2.0.2') };
  return { family: 4, ...ends, protocol: 17, setPort: () => port };
}

const never = () => {
  throw new Error('no list here');
};

t.test('members that a rule adds are the host’s, not the image’s', async (t) => {
  const set = compileSet(
    { name: 'a', type: 'hash:ip', family: 4, maxElements: 9, members: [] },
    never,
    true,
  );
  const memory = (): SetMemory => ({ nowNs: 0, sets: new Map() });
  const [one, other] = [memory(), memory()];
  const add = { operation: 'add', exist: false } as const;
  t.equal(set.change?.(view('10.1.0.2'), ['src'], one, add), 'done');
  t.equal(set.change?.(view('10.1.0.2'), ['src'], one, add), 'refused', 'it is there already');
  t.equal(set.test(view('10.1.0.2'), ['src'], one), true);
  t.equal(set.test(view('10.1.0.2'), ['src'], other), false);
  t.equal(set.change?.(view('0.0.0.0'), ['src'], one, add), 'refused', 'not an address');
});

t.test('a member is there up to its last moment', async (t) => {
  const member = { kind: 'ip', address: address('10.1.0.9'), timeout: 2 } as const;
  const set = compileSet(
    { name: 'a', type: 'hash:ip', family: 4, maxElements: 9, members: [member], timeout: 1 },
    never,
  );
  const sets = new Map();
  const there = (src: string, s: number) => set.test(view(src), ['src'], { nowNs: s * 1e9, sets });
  t.same([there('10.1.0.9', 2), there('10.1.0.9', 2.1)], [true, false]);
  set.change?.(view('10.1.0.2'), ['src'], { nowNs: 3e9, sets }, { operation: 'add', exist: false });
  t.same([there('10.1.0.2', 4), there('10.1.0.2', 4.1)], [true, false]);
});

t.test('a port that the capture cut off leaves the set open', async (t) => {
  const set = compileSet(
    { name: 'p', type: 'hash:ip,port', family: 4, maxElements: 9, members: [] },
    never,
    true,
  );
  const memory = { nowNs: 0, sets: new Map() };
  const add = { operation: 'add', exist: false } as const;
  t.equal(set.test(view('10.1.0.2', PORT_CUT), ['src', 'dst'], memory), 'cut');
  t.equal(set.change?.(view('10.1.0.2', PORT_CUT), ['src', 'dst'], memory, add), 'cut');
  t.equal(set.change?.(view('10.1.0.2', -1), ['src', 'dst'], memory, add), 'refused', 'no port');
  t.equal(set.test(view('10.1.0.2'), ['src'], memory), false, 'too few dimensions');
});
