// TensorBoard imports this module inside the tab's frame and calls render().
import {App} from './app.js';
import {ask} from './backend.js';

export async function render() {
  const sheet = document.createElement('link');
  sheet.rel = 'stylesheet';
  sheet.href = './static/style.css'; // relative to the frame's <base>, so that --path_prefix works
  const loaded = new Promise((done) => {
    sheet.onload = sheet.onerror = done;
  });
  document.head.append(sheet);
  await loaded;
  await new App(document.body, ask).start();
}
