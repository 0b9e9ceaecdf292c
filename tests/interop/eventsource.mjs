// npm eventsource: reconnects and resumes by itself (Last-Event-ID); prints what it receives.
//   node eventsource.mjs URL
import { EventSource } from 'eventsource';

const source = new EventSource(process.argv[2]);
source.onopen = () => console.log('open');
source.onerror = (e) => console.log(`error ${e.code ?? ''} ${e.message ?? ''}`);
source.addEventListener('events', (message) => {
  for (const e of JSON.parse(message.data).events) {
    const value = e.value ? Buffer.from(e.value, 'base64').toString() : '';
    console.log(`event ${e.op} ${e.key} ${value} id=${message.lastEventId}`);
  }
});
