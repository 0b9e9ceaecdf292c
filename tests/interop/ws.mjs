// npm ws as a subscriber that keeps its cursor, reconnects and resumes: prints what it receives.
//   node ws.mjs URL PREFIX
import WebSocket from 'ws';

const [url, prefix] = process.argv.slice(2);
let cursor = null;
let epoch = '';

function connect() {
  const socket = new WebSocket(url, ['herald.v1.json']);
  socket.on('open', () => {
    console.log(`open protocol=${socket.protocol}`);
    socket.send(JSON.stringify({
      type: 'subscribe', id: 1, topic: 'kv', prefix, ...(cursor && { from: cursor }),
    }));
  });
  socket.on('message', (data, binary) => {
    const message = JSON.parse(data.toString());
    if (binary) throw new Error('a binary frame');
    if (message.type === 'welcome') epoch = message.epoch;
    if (message.type === 'subscribed') cursor ??= { index: message.from, epoch };
    if (message.type === 'events') {
      if (message.after > cursor.index) throw new Error(`a gap after ${cursor.index}`);
      for (const e of message.events) {
        const value = e.value ? Buffer.from(e.value, 'base64').toString() : '';
        console.log(`event ${e.op} ${e.key} ${value}`);
      }
    } else {
      console.log(`message ${message.type} ${JSON.stringify(message)}`);
    }
    if ('through' in message) cursor = { index: message.through, epoch };
  });
  socket.on('pong', () => console.log('pong'));
  socket.on('error', () => {});
  socket.on('close', (code) => {
    console.log(`close ${code}`);
    setTimeout(connect, 100);
  });
  process.stdin.once('data', () => socket.ping());
}

connect();
